"""Credentials: the right one passes, and nothing that differs from it in one bit."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from callbridge.errors import Misconfigured
from callbridge.intake.verify import any_same, bearer_problem, same, signature_problem, signing_key
from support.webhooks import NOW, OLD_SECRET, SECRET, signed

QUICK = settings(max_examples=200, deadline=None)
BODY = json.dumps({"id": "pbx-1790000020.311", "note": "Привет"}, ensure_ascii=False).encode()
LIVE = (SECRET, OLD_SECRET)


def by_the_official_library(secret: str, at: float = NOW, name: str = "msg_7Kd") -> dict[str, str]:
    signature = Webhook(secret).sign(name, datetime.fromtimestamp(at, UTC), BODY.decode())
    return {"webhook-id": name, "webhook-timestamp": str(int(at)), "webhook-signature": signature}


@pytest.mark.parametrize("secret", LIVE)
def test_what_the_official_library_signs_with_a_live_secret_holds(secret):
    assert signature_problem(by_the_official_library(secret), BODY, LIVE, NOW) is None


def test_a_secret_that_is_no_longer_live_does_not_hold():
    assert signature_problem(by_the_official_library(OLD_SECRET), BODY, (SECRET,), NOW) == "bad_signature"


def test_a_vector_of_the_specification_holds():
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secrets = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",)
    assert signature_problem(headers, b'{"test": 2432232314}', secrets, 1_614_265_330) is None


def test_one_valid_signature_among_several_is_enough():
    good = signed(BODY)
    headers = good | {"webhook-signature": f"v1a,abc v1,{'A' * 43}= {good['webhook-signature']} v2,x"}
    assert signature_problem(headers, BODY, LIVE, NOW) is None


def test_signatures_beyond_the_eighth_are_not_looked_at():
    good = signed(BODY)
    headers = good | {"webhook-signature": " ".join(["v1,x"] * 8 + [good["webhook-signature"]])}
    assert signature_problem(headers, BODY, LIVE, NOW) == "bad_signature"


@pytest.mark.parametrize(
    ("off", "problem"), [(0, None), (300, None), (-300, None), (301, "stale_timestamp"), (-301, "stale_timestamp")]
)
def test_a_timestamp_may_be_five_minutes_off(off, problem):
    assert signature_problem(signed(BODY, at=NOW + off), BODY, LIVE, NOW) == problem


@given(st.data())
@QUICK
def test_one_flipped_bit_anywhere_is_refused(data):
    headers = signed(BODY)
    part = data.draw(st.sampled_from(["body", *headers]))
    raw = bytearray(BODY if part == "body" else headers[part].encode())
    place, bit = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 7))
    raw[place] ^= 1 << bit
    if part == "body":
        assert signature_problem(headers, bytes(raw), LIVE, NOW)
    else:
        changed = headers | {part: bytes(raw).decode("utf-8", "surrogateescape")}
        assert signature_problem(changed, BODY, LIVE, NOW)


@given(
    st.dictionaries(st.sampled_from(list(signed(b""))), st.text(st.characters(), max_size=30)), st.text(st.characters())
)
@QUICK
def test_no_header_makes_it_raise(headers, authorization):
    assert signature_problem(headers, BODY, LIVE, NOW)
    assert bearer_problem({"authorization": authorization}, LIVE)


@pytest.mark.parametrize("missing", list(signed(b"")))
def test_a_missing_header_is_refused(missing):
    headers = signed(BODY)
    del headers[missing]
    assert signature_problem(headers, BODY, LIVE, NOW)


def test_an_empty_id_that_was_left_out_is_refused_even_if_it_was_signed():
    headers = signed(BODY, name="")
    del headers["webhook-id"]
    assert signature_problem(headers, BODY, LIVE, NOW) == "no_signature"


@pytest.mark.parametrize("stamp", ["", "soon", "1790000100.0", "+1790000100", "١٧٩٠٠٠٠١٠٠", "9" * 13, "-1"])
def test_a_timestamp_that_is_no_plain_number_is_refused_even_if_signed(stamp):
    content = f"m.{stamp}.".encode() + BODY
    mac = base64.b64encode(hmac.new(signing_key(SECRET), content, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": "m", "webhook-timestamp": stamp, "webhook-signature": f"v1,{mac}"}
    assert signature_problem(headers, BODY, LIVE, NOW) == "stale_timestamp"


def test_a_secret_without_the_prefix_is_its_own_key():
    plain = "слово, которое никто не знает"
    assert signature_problem(signed(BODY, plain), BODY, (plain,), NOW) is None


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64!", "whsec_abc", "whsec_YWJj!ZGVm", "whsec_пароль"])
def test_a_signing_secret_that_is_no_base64_is_a_configuration_error_that_does_not_quote_it(secret):
    with pytest.raises(Misconfigured) as refused:
        signing_key(secret)
    assert secret not in str(refused.value) or secret == "whsec_"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
@pytest.mark.parametrize("token", ["first words", "вторые слова"])
def test_a_bearer_token_holds_if_it_is_one_of_the_live_secrets(scheme, token):
    secrets = ("first words", "вторые слова")
    assert bearer_problem({"authorization": f"{scheme} {token}"}, secrets) is None


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer first word", "Basic first words", "first words"])
def test_any_other_authorization_is_refused(header):
    assert bearer_problem({"authorization": header}, ("first words",))
    assert bearer_problem({}, ("first words",))


@given(st.binary(max_size=40), st.binary(max_size=40))
@QUICK
def test_same_is_equality(one, other):
    assert same(one, one)
    assert same(one, other) == (one == other)


def test_nothing_is_the_same_as_one_of_no_secrets():
    assert not any_same(b"", ())
