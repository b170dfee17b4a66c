"""`sim crm --list-faults`: the catalogue, as it is."""

from __future__ import annotations

from callbridge.sim.faults import FAULTS
from cli.conftest import Office


def test_every_fault_is_in_the_list(office: Office) -> None:
    ended = office.run("sim", "crm", "--list-faults")
    assert ended.code == 0
    listed = {line.split()[0] for line in ended.out.splitlines()[1:] if line.strip()}
    assert listed >= set(FAULTS)
