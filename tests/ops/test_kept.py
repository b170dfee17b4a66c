"""What waits in spools, in words."""

from __future__ import annotations

from callbridge.ops.health import Level, spool_checks
from callbridge.ops.kept import MOVES_WITHIN, SILENT_AFTER, Away, of_spools
from callbridge.store.spool import SpoolStanding
from callbridge.store.spools import SpoolReport
from callbridge.store.trouble import Trouble

NOW = 10_000.0


def report(waiting: int = 0, age: float = 0.0, *, damaged: int = 0, silent: float = 0.0) -> dict[str, SpoolReport]:
    standing = SpoolStanding(waiting, NOW - age if waiting else None, damaged)
    return {"pbx-host": SpoolReport(standing, NOW - silent)}


def test_an_empty_spool_is_nothing_to_talk_of() -> None:
    assert of_spools(report(), NOW) == ([], [])
    assert of_spools(report(silent=10_000), NOW) == ([], []), "a host that left nothing behind may be gone"
    assert [check.level for check in spool_checks({}, NOW)] == [Level.OK]


def test_what_waits_is_a_warning_and_what_stays_a_problem() -> None:
    problems, (warning,) = of_spools(report(3, 5), NOW)
    assert problems == []
    assert warning == "3 acknowledged webhooks wait in the spool of pbx-host, the oldest for 5 s"
    (problem,), warnings = of_spools(report(1, MOVES_WITHIN + 1), NOW)
    assert warnings == []
    assert problem.startswith("1 acknowledged webhook waits in the spool of pbx-host")


def test_a_silent_host_that_took_its_spool_along_is_a_problem() -> None:
    (problem,), _ = of_spools(report(3, 5, silent=SILENT_AFTER + 1), NOW)
    assert "start a receiver there" in problem


def test_damaged_and_unreadable_files_are_told() -> None:
    _, (warning,) = of_spools(report(damaged=2), NOW)
    assert warning.startswith("2 files are set aside as damaged")
    (problem,), _ = of_spools({"h": SpoolReport(SpoolStanding(0, None), NOW, "spool: no database")}, NOW)
    assert "cannot be read: spool: no database" in problem
    assert [check.level for check in spool_checks(report(damaged=1), NOW)] == [Level.WARNING]


def test_without_redis_the_sentence_says_so_and_what_is_kept_here() -> None:
    away = Away("tally: Error 111", Trouble.UNREACHABLE, report(4, 9), NOW)
    assert away.sentence == (
        "Needs attention: Redis cannot be reached; 4 acknowledged webhooks wait in the spool of this host."
    )
    told = away.as_json()
    assert (told["ok"], told["trouble"], told["states"], told["spools"][0]["waiting"]) == (
        False,
        "unreachable",
        None,
        4,
    )
    assert Away("nothing runs here", None, {}, NOW).sentence == "Needs attention: nothing runs here."
