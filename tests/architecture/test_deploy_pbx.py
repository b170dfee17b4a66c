"""What is shipped for PBXs to post with says what their own sources understand."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

DEPLOY = Path(__file__).parents[2] / "deploy"

KNOWN = {
    "url", "cred", "log-http-and-disk", "log-errors-to-disk", "delay", "retries", "log-b-leg", "prefix-a-leg",
    "disable-100-continue", "encode", "encode-values", "rotate", "log-dir", "err-log-dir", "enable-cacert-check",
    "enable-ssl-verifyhost", "ssl-cert-path", "ssl-key-path", "ssl-key-password", "ssl-version", "ssl-cacert-file",
    "auth-scheme", "queue-capacity",
}  # fmt: skip
"""The parameters that mod_json_cdr.c reads; it ignores others without a word."""


def test_freeswitch_is_told_only_what_its_module_reads() -> None:
    file = DEPLOY / "freeswitch" / "json_cdr.conf.xml"
    root = ET.parse(file).getroot()  # noqa: S314 - our own file
    told = {param.attrib["name"]: param.attrib["value"] for param in root.iter("param")}
    assert root.attrib["name"] == "json_cdr.conf"
    assert told.keys() <= KNOWN
    assert told["enable-cacert-check"] == told["enable-ssl-verifyhost"] == "true"
    assert int(told["retries"]) > 0


def test_every_file_that_the_readme_of_asterisk_installs_is_there() -> None:
    folder = DEPLOY / "asterisk"
    readme = (folder / "README.md").read_text()
    installed = set(re.findall(r"(?:install -m \d+(?: -g \w+)?|cp) (\S+)", readme))
    assert installed == {path.name for path in folder.iterdir()} - {"README.md"}


def test_the_service_of_asterisk_follows_the_file_that_the_engine_writes() -> None:
    folder = DEPLOY / "asterisk"
    (name,) = re.findall(r"^(\S+) => ", (folder / "cdr_custom.conf").read_text(), re.MULTILINE)
    for file in ("callbridge-cdr.service", "README.md"):
        assert f"/var/log/asterisk/cdr-custom/{name}" in (folder / file).read_text()


def test_the_example_settings_of_the_script_are_what_it_reads() -> None:
    folder = DEPLOY / "asterisk"
    told = set(re.findall(r"^([A-Z_]+)=", (folder / "callbridge-cdr.conf.example").read_text(), re.MULTILINE))
    assert told == {"CDR_POST_URL", "CDR_POST_SECRET"}
    assert all(f"${{{name}-}}" in (folder / "callbridge-cdr").read_text() for name in told)


def test_no_setting_of_a_script_looks_like_one_of_callbridge_itself() -> None:
    """Where both run on one machine, an unknown CALLBRIDGE_* name would keep callbridge from starting."""
    for file in DEPLOY.rglob("*"):
        if file.is_file() and file.suffix != ".png":
            named = set(re.findall(r"CALLBRIDGE_[A-Z_]+", file.read_text()))
            own = {name for name in named if not name.startswith(("CALLBRIDGE_SOURCES_", "CALLBRIDGE_CONFIG"))}
            assert file.parent.name not in {"asterisk", "freeswitch", "uis", "3cx"} or not own, file
