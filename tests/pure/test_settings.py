"""The settings model: what it accepts, what it refuses and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from callbridge.account_settings import AccountSettings, NoMatchPolicy
from callbridge.settings import (
    Durability,
    RedisSettings,
    Settings,
    every_setting,
)
from callbridge.source_settings import SourceSettings
from callbridge.values import format_duration, is_loopback, parse_duration


def an_account(**changes: Any) -> dict[str, Any]:
    return {"url": "https://romashka.amocrm.ru", "token": "tok-1"} | changes


def a_source(**changes: Any) -> dict[str, Any]:
    return {"provider": "generic", "secret": "s3cr3t-of-pbx"} | changes


def problems(error: ValidationError) -> str:
    return "\n".join(f"{e['loc']} {e['msg']}" for e in error.errors(include_input=False))


def test_nothing_given_is_a_valid_configuration_with_the_safe_defaults() -> None:
    settings = Settings()
    assert settings.redis.durability is Durability.ALWAYS
    assert settings.redis.url is None
    assert (settings.receiver.host, settings.receiver.port) == ("127.0.0.1", 8080)
    assert (settings.console.host, settings.console.port) == ("127.0.0.1", 8090)
    assert settings.delivery.expire_after == 72 * 3600


def test_an_account_keeps_to_the_vendors_limits_unless_told_otherwise() -> None:
    account = AccountSettings(**an_account())
    assert (account.requests_per_second, account.max_batch) == (7.0, 250)
    assert account.no_match.policy is NoMatchPolicy.WAIT
    assert account.no_match.window == 18 * 3600


def test_every_setting_has_a_description() -> None:
    names = {"accounts": ("main",), "sources": ("office",)}
    undescribed = [path for path, field in every_setting(names) if not (field.description or "").endswith((".", "}."))]
    assert undescribed == []
    assert len(list(every_setting(names))) > 40


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("5m", 300), ("18h", 64_800), ("3d", 259_200), ("1.5h", 5_400), ("20", 20), (7, 7)],
)
def test_durations_are_written_with_a_unit_or_in_seconds(written: Any, seconds: float) -> None:
    assert RedisSettings(timeout=written).timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written", ["", "soon", "5 minutes", "-5s", "1h30m", "NaN", "inf", "٣s", "5S", True, None, [5]]
)
def test_what_is_no_duration_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        RedisSettings(timeout=written)


@pytest.mark.parametrize("written", [float("nan"), float("inf"), 367 * 86400, 0])
def test_a_duration_out_of_range_is_refused(written: float) -> None:
    with pytest.raises(ValidationError):
        RedisSettings(timeout=written)


@given(st.text())
def test_reading_a_duration_never_fails_on_text(text: str) -> None:
    assert isinstance(parse_duration(text), float | str)


@given(st.integers(0, 366 * 86_400_000))
def test_a_duration_survives_being_written_and_read(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9100", "http://localhost:9100", "http://[::1]:9100", "https://romashka.kommo.com"]
)
def test_an_account_address_is_https_or_on_loopback(url: str) -> None:
    assert AccountSettings(**an_account(url=url)).url == url
    assert AccountSettings(**an_account(url=f"{url}/")).url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://romashka.amocrm.ru",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "ftp://romashka.amocrm.ru",
        "romashka.amocrm.ru",
        "https://",
        "https://user:pass@romashka.amocrm.ru",
        "https://romashka.amocrm.ru/api/v4",
        "https://romashka.amocrm.ru?x=1",
        "https://romashka.amocrm.ru#x",
        "https://romashka.amocrm.ru:99999",
        "https://romashka.amocrm.ru:pass",
        "https://[::1",
        "",
    ],
)
def test_another_account_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        AccountSettings(**an_account(url=url))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_hosts_are_recognised(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "localhost.", "example.com", "127.1", ""])  # noqa: S104 - refused
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "http://127.0.0.1", "redis://", "unix:", "rediss:/x"])
def test_a_redis_address_has_a_scheme_of_redis(url: str) -> None:
    with pytest.raises(ValidationError, match="is an address like redis://"):
        RedisSettings(url=SecretStr(url))


@pytest.mark.parametrize(
    "url", ["redis://h:1/0", "rediss://u:p@h", "unix:///run/r.sock?db=1", "unix://u:p@/run/r.sock"]
)
def test_the_three_kinds_of_redis_address_are_accepted(url: str) -> None:
    assert RedisSettings(url=SecretStr(url)).url == SecretStr(url)


@pytest.mark.parametrize("group", ["", "redis", "receiver", "delivery"])
def test_an_unknown_key_is_refused_in_every_group(group: str) -> None:
    wrong = {"tiemout": 5}
    with pytest.raises(ValidationError, match="tiemout"):
        Settings.model_validate({group: wrong} if group else wrong)


def test_an_account_without_a_token_is_refused_by_the_name_of_the_setting() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({"accounts": {"main": {"url": "https://romashka.amocrm.ru"}}})
    (error,) = refused.value.errors()
    assert error["loc"] == ("accounts", "main")
    assert error["ctx"]["problems"][0][0] == "token"


def test_a_path_token_alone_is_enough_for_a_generic_source() -> None:
    assert SourceSettings(provider="generic", path_token=SecretStr("p4th")).secret is None


@pytest.mark.parametrize("secret", ["", " ", "\t"])
def test_an_empty_secret_is_no_secret(secret: str) -> None:
    with pytest.raises(ValidationError, match="is empty"):
        SourceSettings(**a_source(secret=secret))


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    settings = Settings.model_validate({"accounts": {"main": an_account()}, "sources": {"office": a_source()}})
    assert "tok-1" not in f"{settings!r} {settings}"
    assert "s3cr3t" not in f"{settings!r} {settings}"


def test_a_refusal_does_not_repeat_what_was_given() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(
            {"receiver": {"port": "canary-8080"}, "sources": {"office": a_source(hold="canary-hold")}}
        )
    assert "canary" not in str(refused.value)


def test_a_source_belongs_to_the_only_account_there_is() -> None:
    settings = Settings.model_validate({"accounts": {"main": an_account()}, "sources": {"office": a_source()}})
    assert settings.account_of("office") == "main"


def test_every_source_without_a_clear_account_is_named_at_once() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(
            {
                "accounts": {"main": an_account(), "second": an_account()},
                "sources": {
                    "office": a_source(),
                    "branch": a_source(account="third"),
                    "fine": a_source(account="second"),
                },
            }
        )
    assert [name for name, _ in refused.value.errors()[0]["ctx"]["problems"]] == [
        "sources.office.account",
        "sources.branch.account",
    ]


@pytest.mark.parametrize("name", ["Main", "main office", "-x", "a" * 33, "", "naïve"])
def test_names_are_short_and_plain(name: str) -> None:
    with pytest.raises(ValidationError, match="a name is 1 to 32 characters"):
        Settings.model_validate({"accounts": {name: an_account()}})


def test_mappings_and_lists_may_be_text() -> None:
    source = SourceSettings(
        **a_source(
            extensions='{"204": 7130045}', own_numbers="+74955550142, 84955550143", status_overrides='{"1122": "7"}'
        )
    )
    assert source.extensions == {"204": 7130045}
    assert source.own_numbers == ("+74955550142", "84955550143")
    assert source.status_overrides == {"1122": 7}
    assert SourceSettings(**a_source(own_numbers='["1", "2"]')).own_numbers == ("1", "2")


@pytest.mark.parametrize("extensions", ["{", "[1]", "204=7", '{"204": "canary"}', "[" * 100_000])
def test_a_mapping_that_is_no_json_object_is_refused_without_repeating_it(extensions: str) -> None:
    with pytest.raises(ValidationError) as refused:
        SourceSettings(**a_source(extensions=extensions))
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("status", [0, 8, -1])
def test_a_status_is_from_1_to_7(status: int) -> None:
    with pytest.raises(ValidationError, match="from 1 to 7"):
        SourceSettings(**a_source(status_overrides={"1122": status}))


@pytest.mark.parametrize("zone", ["Moscow", "europe/moscow", "../../etc/passwd", "UTC+3", ""])
def test_a_time_zone_is_a_name_of_the_iana_list(zone: str) -> None:
    with pytest.raises(ValidationError, match="IANA"):
        SourceSettings(**a_source(timezone=zone))


def test_incoming_leads_go_to_the_main_pipeline_and_name_the_caller_in_phone_unless_told() -> None:
    no_match = AccountSettings(**an_account(no_match={"policy": "unsorted"})).no_match
    assert (no_match.pipeline_id, no_match.caller_field) == (None, "phone")


@pytest.mark.parametrize("wrong", [{"pipeline_id": 0}, {"pipeline_id": "main"}, {"caller_field": "to"}])
def test_what_no_incoming_lead_could_have_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AccountSettings(**an_account(no_match={"policy": "unsorted"} | wrong))


# --- how an account is let into ---------------------------------------------------------------------------------------

KEY = "dGhpcnR5LXR3byBieXRlcyBmb3IgYSB0ZXN0IGtleSE="
OAUTH = {"client_id": "5b0e", "client_secret": "canary", "redirect_uri": "https://bridge.example.com/oauth"}


def an_oauth_account(**changes: Any) -> dict[str, Any]:
    return {"url": "https://romashka.amocrm.ru"} | OAUTH | changes


def test_an_account_has_a_token_or_all_three_settings_of_oauth() -> None:
    assert not AccountSettings(**an_account()).uses_oauth
    assert AccountSettings(**an_oauth_account()).uses_oauth


@pytest.mark.parametrize("missing", sorted(OAUTH))
def test_a_part_of_oauth_is_not_enough(missing: str) -> None:
    with pytest.raises(ValidationError) as refused:
        AccountSettings(**an_oauth_account(**{missing: None}))
    assert f"{missing}: is missing" in problems(refused.value)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("both", sorted(OAUTH))
def test_a_token_excludes_oauth(both: str) -> None:
    with pytest.raises(ValidationError, match="excludes token"):
        AccountSettings(**an_account(**{both: OAUTH[both]}))


@pytest.mark.parametrize("address", ["bridge.example.com/oauth", "ftp://x/y", "https://", "https://x/y#z", ""])
def test_a_redirect_address_is_an_address(address: str) -> None:
    with pytest.raises(ValidationError, match="is an address"):
        AccountSettings(**an_oauth_account(redirect_uri=address))


def test_oauth_needs_a_sealing_key_and_a_token_does_not() -> None:
    with pytest.raises(ValidationError, match=r"sealing\.key: is missing, and account main uses OAuth"):
        Settings(accounts={"main": an_oauth_account()})
    Settings(accounts={"main": an_oauth_account()}, sealing={"key": KEY})
    Settings(accounts={"main": an_account()})
    with pytest.raises(ValidationError, match="there is a previous_key"):
        Settings(accounts={"main": an_account()}, sealing={"previous_key": KEY})


@pytest.mark.parametrize(
    "key", ["", "short", KEY[:-4], KEY + KEY, "\u043a\u043b\u044e\u0447" * 11, KEY.replace("d", " ")]
)
def test_what_is_no_sealing_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(sealing={"key": key})
    assert not key or key not in str(refused.value)
