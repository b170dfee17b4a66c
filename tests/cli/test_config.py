"""`config example`, `config schema`."""

from __future__ import annotations

import tomllib

from cli.conftest import Office


def test_the_example_is_a_file_that_changes_nothing(office: Office) -> None:
    example = office.run("config", "example").out
    assert "accounts" not in tomllib.loads(example)
    (office.directory / "callbridge.toml").write_text(example)
    assert office.run("status").code == 0


def test_the_example_can_be_had_as_variables(office: Office) -> None:
    out = office.run("config", "example", "--env").out
    assert "CALLBRIDGE_ACCOUNTS__MAIN__TOKEN" in out


def test_the_schema_is_json_and_knows_the_settings(office: Office) -> None:
    schema = office.run("config", "schema").json
    assert {"accounts", "sources", "redis"} <= set(schema["properties"])
