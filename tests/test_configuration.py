"""Loading settings from a file, secret files and the environment, and showing them."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from callbridge.configuration import load
from callbridge.errors import Misconfigured
from callbridge.guide import env_example, example, json_schema, redacted, secret_values
from callbridge.settings import Settings

MAIN = {
    "CALLBRIDGE_ACCOUNTS__MAIN__URL": "https://romashka.amocrm.ru",
    "CALLBRIDGE_ACCOUNTS__MAIN__TOKEN": "canary-token",
}
OFFICE = {"CALLBRIDGE_SOURCES__OFFICE__PROVIDER": "generic", "CALLBRIDGE_SOURCES__OFFICE__SECRET": "canary-secret"}
FILE = """
[redis]
timeout = "3s"
prefix = "from-file"

[accounts.main]
url = "https://romashka.amocrm.ru"
token = "canary-token"

[sources.office]
provider = "generic"
secret = "canary-secret"
extensions = { 204 = 7130045 }
"""


def refused(environ: dict[str, str], cwd: Path) -> list[str]:
    with pytest.raises(Misconfigured) as misconfigured:
        load(environ, cwd)
    assert "canary" not in str(misconfigured.value)
    return str(misconfigured.value).splitlines()


def written(folder: Path, text: str, name: str = "callbridge.toml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


# --- where settings come from and which wins -------------------------------------------------------------------------


def test_nothing_given_gives_the_defaults(tmp_path: Path) -> None:
    assert load({}, tmp_path) == Settings()


def test_everything_of_the_contract_can_be_set_by_the_environment_alone(tmp_path: Path) -> None:
    settings = load(
        MAIN
        | OFFICE
        | {
            "CALLBRIDGE_REDIS__URL": "redis://127.0.0.1:6379/0",
            "CALLBRIDGE_REDIS__DURABILITY": "everysec",
            "CALLBRIDGE_LEDGER__URL": "sqlite:///var/ledger.db",
            "CALLBRIDGE_RECEIVER__HOST": "127.0.0.2",
            "CALLBRIDGE_RECEIVER__PORT": "8081",
            "CALLBRIDGE_CONSOLE__PASSWORD": "canary-password",
            "CALLBRIDGE_ACCOUNTS__MAIN__REQUESTS_PER_SECOND": "5.5",
            "CALLBRIDGE_ACCOUNTS__MAIN__NO_MATCH__POLICY": "record",
            "CALLBRIDGE_ACCOUNTS__MAIN__NO_MATCH__WINDOW": "2h",
            "CALLBRIDGE_DELIVERY__REQUEST_TIMEOUT": "500ms",
            "CALLBRIDGE_DELIVERY__EXPIRE_AFTER": "3d",
            "CALLBRIDGE_SOURCES__OFFICE__EXTENSIONS": '{"204": 7130045}',
            "CALLBRIDGE_SOURCES__OFFICE__OWN_NUMBERS": "+74955550142,84955550143",
            "CALLBRIDGE_SOURCES__OFFICE__STATUS_OVERRIDES": '{"1122": 7}',
            "CALLBRIDGE_SOURCES__OFFICE__TIMEZONE": "Europe/Moscow",
        },
        tmp_path,
    )
    assert settings.receiver.port == 8081
    assert settings.accounts["main"].no_match.window == 7200
    assert settings.accounts["main"].requests_per_second == 5.5
    assert settings.delivery.request_timeout == 0.5
    assert settings.sources["office"].extensions == {"204": 7130045}
    assert settings.sources["office"].own_numbers == ("+74955550142", "84955550143")


def test_the_environment_overrides_the_file_leaf_by_leaf(tmp_path: Path) -> None:
    settings = load({"CALLBRIDGE_REDIS__TIMEOUT": "1s"}, written(tmp_path, FILE))
    assert (settings.redis.timeout, settings.redis.prefix) == (1.0, "from-file")


def test_a_mapping_given_as_json_replaces_the_one_in_the_file(tmp_path: Path) -> None:
    settings = load({"CALLBRIDGE_SOURCES__OFFICE__EXTENSIONS": '{"205": 1}'}, written(tmp_path, FILE))
    assert settings.sources["office"].extensions == {"205": 1}


def test_one_entry_of_a_mapping_joins_those_in_the_file(tmp_path: Path) -> None:
    settings = load({"CALLBRIDGE_SOURCES__OFFICE__EXTENSIONS__205": "1"}, written(tmp_path, FILE))
    assert settings.sources["office"].extensions == {"204": 7130045, "205": 1}


def test_one_entry_takes_the_place_of_a_mapping_that_the_file_gives_as_text(tmp_path: Path) -> None:
    written(tmp_path, FILE.replace("{ 204 = 7130045 }", "'{\"204\": 7130045}'"))
    assert load({}, tmp_path).sources["office"].extensions == {"204": 7130045}
    settings = load({"CALLBRIDGE_SOURCES__OFFICE__EXTENSIONS__205": "1"}, tmp_path)
    assert settings.sources["office"].extensions == {"205": 1}


def test_an_account_of_the_environment_joins_those_in_the_file(tmp_path: Path) -> None:
    more = {k.replace("MAIN", "SECOND"): v for k, v in MAIN.items()} | {"CALLBRIDGE_SOURCES__OFFICE__ACCOUNT": "second"}
    assert set(load(more, written(tmp_path, FILE)).accounts) == {"main", "second"}


def test_a_whole_group_may_be_json_and_a_single_variable_overrides_it(tmp_path: Path) -> None:
    account = json.dumps({"main": {"url": "https://romashka.amocrm.ru", "token": "canary", "max_batch": 40}})
    environ = {"CALLBRIDGE_ACCOUNTS__MAIN__MAX_BATCH": "50", "CALLBRIDGE_ACCOUNTS": account}
    assert load(environ, tmp_path).accounts["main"].max_batch == 50
    assert load(dict(reversed(environ.items())), tmp_path).accounts["main"].max_batch == 50


def test_a_secret_that_looks_like_json_stays_text(tmp_path: Path) -> None:
    settings = load(MAIN | OFFICE | {"CALLBRIDGE_SOURCES__OFFICE__SECRET": '{"a"'}, tmp_path)
    secret = settings.sources["office"].secret
    assert secret is not None
    assert secret.get_secret_value() == '{"a"'


def test_an_empty_variable_is_an_unset_one(tmp_path: Path) -> None:
    environ = {
        "CALLBRIDGE_REDIS__URL": "",
        "CALLBRIDGE_CONFIG": "",
        "CALLBRIDGE_SECRETS_DIR": "",
        "CALLBRIDGE_ACCOUNTS": "",
    }
    assert load(environ, written(tmp_path, FILE)).redis.prefix == "from-file"


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    assert load({"PATH": "/bin", "REDIS__URL": "x", "CALLBRIDGEX": "1"}, tmp_path) == Settings()


def test_what_kubernetes_adds_beside_a_service_is_no_mistake(tmp_path: Path) -> None:
    links = {
        "CALLBRIDGE_SERVICE_HOST": "10.3.0.9",
        "CALLBRIDGE_SERVICE_PORT": "8080",
        "CALLBRIDGE_SERVICE_PORT_HTTP": "8080",
        "CALLBRIDGE_PORT": "tcp://10.3.0.9:8080",
        "CALLBRIDGE_PORT_8080_TCP": "tcp://10.3.0.9:8080",
        "CALLBRIDGE_PORT_8080_TCP_ADDR": "10.3.0.9",
    }
    assert load(links, tmp_path) == Settings()
    assert refused({"CALLBRIDGE_PORT": "8080"}, tmp_path) == ["CALLBRIDGE_PORT: there is no such setting"]


def test_the_file_may_stand_elsewhere(tmp_path: Path) -> None:
    written(tmp_path, FILE, "other.toml")
    assert load({"CALLBRIDGE_CONFIG": "other.toml"}, tmp_path).redis.prefix == "from-file"
    assert load({"CALLBRIDGE_CONFIG": str(tmp_path / "other.toml")}, Path("/")).redis.prefix == "from-file"


# --- secrets from files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_the_file_that_a_variable_names(tmp_path: Path, ending: str) -> None:
    (tmp_path / "token").write_bytes(b"from-file" + ending.encode())
    environ = {k: v for k, v in MAIN.items() if "TOKEN" not in k}
    settings = load(environ | {"CALLBRIDGE_ACCOUNTS__MAIN__TOKEN_FILE": str(tmp_path / "token")}, Path("/"))
    token = settings.accounts["main"].token
    assert token is not None
    assert token.get_secret_value() == "from-file"


def test_a_folder_of_secrets_is_read_by_variable_name_in_any_case(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "accounts__main__token").write_text("one\n")
    (folder / "CALLBRIDGE_SOURCES__OFFICE__SECRET").write_text("two")
    (folder / "..data").mkdir()
    (folder / ".hidden").write_text("x")
    settings = load({"CALLBRIDGE_SECRETS_DIR": "secrets"}, written(tmp_path, FILE))
    assert secret_values(settings) == {"one", "two"}


def test_a_variable_wins_over_a_secret_file_and_that_over_the_toml_file(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "redis__timeout").write_text("4s")
    (folder / "redis__prefix").write_text("from-secret")
    settings = load(
        {"CALLBRIDGE_SECRETS_DIR": str(folder), "CALLBRIDGE_REDIS__PREFIX": "from-env"}, written(tmp_path, FILE)
    )
    assert (settings.redis.timeout, settings.redis.prefix) == (4.0, "from-env")


def test_a_file_with_nothing_in_it_sets_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    assert load({"CALLBRIDGE_REDIS__URL_FILE": "empty"}, tmp_path).redis.url is None


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("CALLBRIDGE_REDIS_URL", "CALLBRIDGE_REDIS__URL"),
        ("CALLBRIDGE_REDIS__TIEMOUT", "CALLBRIDGE_REDIS__TIMEOUT"),
        ("callbridge_redis__ulr", "CALLBRIDGE_REDIS__URL"),
        ("CALLBRIDGE_CONFIGG", "CALLBRIDGE_CONFIG"),
        ("CALLBRIDGE_ACCOUNTS__MAIN__TOKN", "CALLBRIDGE_ACCOUNTS__MAIN__TOKEN"),
        ("CALLBRIDGE_ACCOUNTS__MAIN__NO_MATCH__WINDOWS", "CALLBRIDGE_ACCOUNTS__MAIN__NO_MATCH__WINDOW"),
        ("CALLBRIDGE_ACOUNTS__MAIN__MAX_BATCH", "CALLBRIDGE_ACCOUNTS__MAIN__MAX_BATCH"),
    ],
)
def test_a_variable_that_matches_nothing_is_refused_with_the_likely_one(tmp_path: Path, wrong: str, meant: str) -> None:
    assert refused(MAIN | {wrong: "canary"}, tmp_path) == [f"{wrong}: there is no such setting; did you mean {meant}?"]


def test_a_variable_like_no_other_is_refused_without_a_guess(tmp_path: Path) -> None:
    assert refused({"CALLBRIDGE_XYZZY__Q": "canary"}, tmp_path) == ["CALLBRIDGE_XYZZY__Q: there is no such setting"]


def test_an_unknown_key_of_the_file_is_refused_with_the_likely_one(tmp_path: Path) -> None:
    assert refused({}, written(tmp_path, '[redis]\nulr = "canary"')) == [
        "redis.ulr in callbridge.toml: there is no such setting; did you mean redis.url?"
    ]


def test_an_unknown_name_in_the_folder_of_secrets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "redis__ulr").write_text("canary")
    assert refused({"CALLBRIDGE_SECRETS_DIR": str(tmp_path)}, Path("/")) == [
        f"{tmp_path}/redis__ulr: there is no such setting; did you mean CALLBRIDGE_REDIS__URL?"
    ]


def test_every_problem_has_a_line_of_its_own_under_the_name_that_was_written(tmp_path: Path) -> None:
    written(tmp_path, '[delivery]\nlease = "canary"\n[sources.branch]\nprovider = "mango"\ntimezone = "Nowhere"\n')
    lines = refused(
        {
            "CALLBRIDGE_RECEIVER__PORT": "canary",
            "CALLBRIDGE_ACCOUNTS__MAIN__TOKEN": "canary",
            "CALLBRIDGE_NOPE": "canary",
            "callbridge_worker__max_accounts": "0",
        },
        tmp_path,
    )
    assert {line.partition(": ")[0] for line in lines} == {
        "delivery.lease in callbridge.toml",
        "sources.branch.timezone in callbridge.toml",
        "CALLBRIDGE_RECEIVER__PORT",
        "CALLBRIDGE_ACCOUNTS__MAIN__URL",
        "CALLBRIDGE_NOPE",
        "callbridge_worker__max_accounts",
    }
    assert len(lines) == 6


def test_what_is_missing_is_named_where_its_neighbours_stand(tmp_path: Path) -> None:
    assert refused({"CALLBRIDGE_ACCOUNTS__MAIN__URL": MAIN["CALLBRIDGE_ACCOUNTS__MAIN__URL"]}, tmp_path)[0].startswith(
        "CALLBRIDGE_ACCOUNTS__MAIN__TOKEN: is missing: the long-lived token"
    )
    (line,) = refused({}, written(tmp_path, "[accounts.main]\n"))
    assert line.startswith("accounts.main.url in callbridge.toml: is missing. Address of the account")


def test_a_source_of_an_account_that_does_not_exist_is_named(tmp_path: Path) -> None:
    environ = MAIN | OFFICE | {"CALLBRIDGE_SOURCES__OFFICE__ACCOUNT": "mian"}
    assert refused(environ, tmp_path) == ["CALLBRIDGE_SOURCES__OFFICE__ACCOUNT: there is no account 'mian'"]
    assert refused(OFFICE, tmp_path) == [
        "CALLBRIDGE_SOURCES__OFFICE__ACCOUNT: is missing: there are 0 accounts to choose from"
    ]


def test_a_wrong_entry_of_a_json_mapping_is_named(tmp_path: Path) -> None:
    environ = MAIN | OFFICE | {"CALLBRIDGE_SOURCES__OFFICE__EXTENSIONS": '{"204": "canary"}'}
    (line,) = refused(environ, tmp_path)
    assert line.startswith("CALLBRIDGE_SOURCES__OFFICE__EXTENSIONS (204): should be a valid integer")
    (line,) = refused({"CALLBRIDGE_ACCOUNTS": '{"main": {"url": "canary", "token": "canary"}}'}, tmp_path)
    assert line == "CALLBRIDGE_ACCOUNTS (main.url): is an address like https://example.amocrm.ru"


@pytest.mark.parametrize("text", ["canary", "{", "[]", "5", "null"])
def test_a_group_that_is_given_as_a_value_is_refused(tmp_path: Path, text: str) -> None:
    (line,) = refused({"CALLBRIDGE_REDIS": text}, tmp_path)
    assert line == "CALLBRIDGE_REDIS: holds several settings: set CALLBRIDGE_REDIS__..., or give a JSON object"


def test_a_setting_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("canary")
    (line,) = refused(MAIN | {"CALLBRIDGE_ACCOUNTS__MAIN__TOKEN_FILE": "token"}, tmp_path)
    assert line == ("CALLBRIDGE_ACCOUNTS__MAIN__TOKEN_FILE: is set a second time, by CALLBRIDGE_ACCOUNTS__MAIN__TOKEN")
    both = {"CALLBRIDGE_SOURCES__OFFICE__EXTENSIONS__204": "1", "CALLBRIDGE_SOURCES__OFFICE__EXTENSIONS": '{"205": 1}'}
    for environ in (MAIN | OFFICE | both, MAIN | OFFICE | dict(reversed(both.items()))):
        (line,) = refused(environ, tmp_path)
        assert line.startswith("CALLBRIDGE_SOURCES__OFFICE__EXTENSIONS__204: is set a second time")


@pytest.mark.parametrize("name", ["missing", ".", "binary", "huge"])
def test_a_file_that_cannot_be_read_is_named_by_its_variable_only(tmp_path: Path, name: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00canary")
    (tmp_path / "huge").write_bytes(b"c" * 1_100_000)
    for variable in ("CALLBRIDGE_ACCOUNTS__MAIN__TOKEN_FILE", "CALLBRIDGE_CONFIG"):
        lines = refused({variable: name}, tmp_path)
        assert lines[0].startswith(variable)


def test_a_secret_put_where_the_name_of_its_file_belongs_is_not_shown(tmp_path: Path) -> None:
    assert refused({"CALLBRIDGE_REDIS__URL_FILE": "redis://:canary@127.0.0.1"}, tmp_path) == [
        "CALLBRIDGE_REDIS__URL_FILE: the file it names cannot be read: No such file or directory"
    ]


def test_a_folder_of_secrets_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refused({"CALLBRIDGE_SECRETS_DIR": "nowhere"}, tmp_path) == [
        "CALLBRIDGE_SECRETS_DIR=nowhere: cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize(
    "text", ['a = "canary', "[redis]\nurl = canary", "a = 1\na = 2", "[" * 5000, "a" + ".a" * 5000 + "=1"]
)
def test_a_broken_file_is_refused_with_the_place(tmp_path: Path, text: str) -> None:
    lines = refused({}, written(tmp_path, text))
    assert all("callbridge.toml" in line for line in lines)


@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.builds(
            "CALLBRIDGE_{}".format,
            st.one_of(
                st.text("ABCX_0", max_size=12),
                st.sampled_from(
                    ["REDIS", "ACCOUNTS", "SOURCES__A", "ACCOUNTS__A__URL", "LOG__LEVEL", "REDIS__URL_FILE"]
                ),
            ),
        ),
        st.one_of(
            st.text(st.characters(exclude_characters="\0"), max_size=8),
            st.sampled_from(["{}", '{"a": {}}', "[]", "{", '{"a": {"b": {"c": 1}}}']),
        ),
        max_size=5,
    )
)
def test_any_environment_gives_settings_or_a_refusal_for_people(tmp_path: Path, environ: dict[str, str]) -> None:
    with contextlib.suppress(Misconfigured):
        load(environ, tmp_path)


# --- settings as people see them -------------------------------------------------------------------------------------


def test_the_example_file_as_it_stands_changes_nothing(tmp_path: Path) -> None:
    assert load({}, written(tmp_path, example())) == Settings()


OAUTH = r"client_id|client_secret|redirect_uri"


def switched_on(text: str, *, without: str = OAUTH) -> str:
    """Everything but one of the two ways to be let into an account: they exclude each other."""
    lines = re.sub(r"(?m)^#(?! )", "", text).splitlines(keepends=True)
    other_way = re.compile(rf"(?:CALLBRIDGE_ACCOUNTS__MAIN__)?(?:{without})\s*=", re.IGNORECASE)
    return "".join(line for line in lines if not other_way.match(line))


def test_the_example_file_with_everything_switched_on_is_valid(tmp_path: Path) -> None:
    on = switched_on(example())
    settings = load({}, written(tmp_path, on))
    assert settings.delivery == Settings().delivery
    assert settings.sources["office"].extensions == {"204": 7130045}
    assert set(tomllib.loads(on)) == set(Settings.model_fields)


def test_the_example_environment_with_everything_switched_on_is_valid(tmp_path: Path) -> None:
    lines = re.findall(r"(?m)^(CALLBRIDGE_\w+)=(.*)$", switched_on(env_example()))
    environ = {name: value.strip("'") for name, value in lines}
    for by_hand in ("CALLBRIDGE_CONFIG", "CALLBRIDGE_SECRETS_DIR"):
        del environ[by_hand]
    written(tmp_path, switched_on(example()))
    assert load(environ, Path("/")) == load({}, tmp_path)


def test_the_example_is_valid_with_oauth_instead_of_a_token_too(tmp_path: Path) -> None:
    settings = load({}, written(tmp_path, switched_on(example(), without="token")))
    assert settings.accounts["main"].uses_oauth
    assert len(settings.sealing.keys) == 2


def test_the_json_schema_knows_every_group_and_no_further_key() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == set(Settings.model_fields)
    assert schema["additionalProperties"] is False
    lease = schema["$defs"]["DeliverySettings"]["properties"]["lease"]
    pattern = next(kind["pattern"] for kind in lease["anyOf"] if kind["type"] == "string")
    assert re.search(pattern, "30s")
    assert not re.search(pattern, "30s and more")


def test_settings_are_shown_without_any_secret(tmp_path: Path) -> None:
    on = switched_on(example()).replace("redis://127", "redis://user:canary-redis@127")
    settings = load({}, written(tmp_path, on))
    shown = redacted(settings)
    text = json.dumps(shown)
    assert [value for value in secret_values(settings) if value in text and "://" not in value] == []
    assert shown["redis"]["url"] == "redis://127.0.0.1:6379/0"
    assert shown["accounts"]["main"]["token"] == "***"
    assert shown["accounts"]["main"]["url"] == "https://example.amocrm.ru"
    assert shown["console"]["password"] == "***"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:canary@h:6380/3", "redis://h:6380/3"),
        ("rediss://u:canary@h/3?password=canary", "rediss://h/3"),
        ("unix://u:canary@/run/redis.sock?db=1", "unix:///run/redis.sock"),
        ("redis://u:canary@h:port/3", "***"),
        ("redis://u:canary@[h", "***"),
    ],
)
def test_a_redis_address_is_shown_without_its_password(url: str, shown: str) -> None:
    settings = Settings.model_validate({"redis": {"url": url}})
    assert redacted(settings)["redis"]["url"] == shown


def test_the_secrets_in_force_are_all_known() -> None:
    given: dict[str, Any] = {
        "redis": {"url": "redis://:pa55@127.0.0.1"},
        "accounts": {"main": {"url": "https://romashka.amocrm.ru", "token": "t1"}},
        "sources": {"office": {"provider": "mango", "key": "k1", "secret": "s1", "path_token": "p1"}},
    }
    assert secret_values(Settings.model_validate(given)) == {"redis://:pa55@127.0.0.1", "pa55", "t1", "k1", "s1", "p1"}
