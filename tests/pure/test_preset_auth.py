"""Every way in which a preset lets a PBX prove who it is: the right credential holds, any other does not."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
from datetime import UTC, datetime
from ipaddress import ip_network
from urllib.parse import urlencode

import jwt
import plivo.utils
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from plivo.utils.signature_v3 import construct_post_url, get_signature_v3
from standardwebhooks import Webhook

from callbridge.errors import Misconfigured, Unauthenticated
from callbridge.intake.providers import provider_named
from callbridge.intake.providers.preset import PresetProvider
from callbridge.presets.load import read
from support.webhooks import NOW, OLD_SECRET, SECRET, a_request, a_source

BODY = b'{"id":"c-1","way":"in","number":"+49305550123","talk":42,"token":"s3cret"}'
JSON = {"content-type": "application/json"}
URL = "https://hooks.example.com/hooks/office"


def a_preset(auth: str, decode: str = "json") -> PresetProvider:
    text = f"""
name = "mine"
title = "Mine"
accept.decode = "{decode}"
[auth]
{auth}
[map]
ref = "id"
direction = "way"
phone = "number"
duration = "talk"
"""
    return PresetProvider("mine.toml", read(text.encode(), "mine.toml"))


def outcome(provider, request, **changes) -> str | None:
    source = a_source(**({"secrets": ("s3cret", "0lder")} | changes))
    try:
        provider.verify(request, source, NOW)
    except Unauthenticated as refused:
        return refused.reason
    return None


def mac(signed: bytes, secret: str = "s3cret", algorithm: str = "sha256") -> bytes:
    return hmac.new(secret.encode(), signed, algorithm).digest()


@pytest.mark.parametrize("secret", ["s3cret", "0lder"])
@pytest.mark.parametrize(
    ("auth", "request_of"),
    [
        ('{kind = "header_token", name = "Auth-Key"}', lambda s: a_request(BODY, {"auth-key": s})),
        (
            '{kind = "header_token", name = "Authorization", prefix = "Token "}',
            lambda s: a_request(BODY, {"authorization": f"Token {s}"}),
        ),
        ('{kind = "query_token"}', lambda s: a_request(BODY, query=f"token={s}")),
        ('{kind = "query_token", name = "k"}', lambda s: a_request(BODY, query=f"k={s}")),
        ('{kind = "field_token", name = "token"}', lambda s: a_request(json.dumps({"token": s}).encode())),
        ('{kind = "bearer"}', lambda s: a_request(BODY, {"authorization": f"Bearer {s}"})),
        (
            '{kind = "basic"}',
            lambda s: a_request(BODY, {"authorization": "Basic " + base64.b64encode(f"me:{s}".encode()).decode()}),
        ),
    ],
)
def test_a_carried_secret_holds_and_no_other_does(auth, request_of, secret):
    provider = a_preset(f"all_of = [{auth}]")
    assert outcome(provider, request_of(secret)) is None
    for wrong in ("", secret[:-1], secret + "x", "s3cret0lder"):
        assert outcome(provider, request_of(wrong)) in {"bad_token", "bad_bearer_token"}


def test_nothing_given_is_never_right():
    """Not even for a secret that is empty, which settings refuse."""
    for kind in ('"header_token", name = "Auth-Key"', '"query_token"', '"basic"'):
        request = a_request(BODY, {"authorization": "Basic Og=="})
        assert outcome(a_preset(f"all_of = [{{kind = {kind}}}]"), request, secrets=("",)) == "bad_token"


def test_the_user_name_counts_where_the_source_has_a_key():
    provider = a_preset('all_of = [{kind = "basic"}]')
    request = a_request(BODY, {"authorization": "Basic " + base64.b64encode(b"me:s3cret").decode()})
    assert outcome(provider, request, key="me") is None
    assert outcome(provider, request, key="you") == "bad_token"


SIGNED = {
    "hex": ('parts = ["@body"], out = ["hex"]', lambda: mac(BODY).hex()),
    "prefixed": ('parts = ["@body"], prefix = "sha256="', lambda: "sha256=" + mac(BODY).hex()),
    "upper_case_hex": ('parts = ["@body"]', lambda: mac(BODY).hex().upper()),
    "b64": ('parts = ["@body"], out = ["b64"]', lambda: base64.b64encode(mac(BODY)).decode()),
    "b64url": (
        'parts = ["@body"], out = ["b64url"]',
        lambda: base64.urlsafe_b64encode(mac(BODY)).decode().rstrip("="),
    ),
    "b64_of_hex": (
        'parts = ["@body"], out = ["b64_of_hex"]',
        lambda: base64.b64encode(mac(BODY).hex().encode()).decode(),
    ),
    "any_of_several": ('parts = ["@body"], out = ["hex", "b64"]', lambda: base64.b64encode(mac(BODY)).decode()),
    "several_in_one_header": (
        'parts = ["@body"], split = ",", prefix = "v1="',
        lambda: "v1=00, v1=" + mac(BODY).hex(),
    ),
    "sha1": ('parts = ["@body"], algorithm = "sha1"', lambda: mac(BODY, algorithm="sha1").hex()),
    "parts": (
        'parts = ["\'v0:\'", "@header.x-id", "\':\'", "lower(way)", "@url", "@url_base", "@key"]',
        lambda: mac(f"v0:id7:in{URL}?z=1{URL}the-key".encode()).hex(),
    ),
    "by_event": (
        'parts_by = {value = "way", table = {in = ["id", "talk"], out = ["number"]}}',
        lambda: mac(b"c-142").hex(),
    ),
}


@pytest.mark.parametrize("name", SIGNED)
def test_a_signature_holds_over_what_it_covers(name):
    parts, made = SIGNED[name]
    provider = a_preset(f'all_of = [{{kind = "hmac", in = "@header.x-sign", {parts}}}]')
    headers = {"x-sign": made(), "x-id": "id7"}
    request = a_request(BODY, headers, query="z=1")
    assert outcome(provider, request, key="the-key") is None
    assert outcome(provider, request, key="the-key", secrets=("other", "0lder")) == "bad_signature"
    changed = dataclasses.replace(request, body=BODY.replace(b"c-1", b"c-2").replace(b'"in"', b'"i"'))
    assert outcome(provider, changed, key="the-key") == "bad_signature"
    assert outcome(provider, a_request(BODY, {"x-id": "id7"}), key="the-key") == "no_signature"


def test_an_event_without_parts_is_refused():
    provider = a_preset(
        'all_of = [{kind = "hmac", in = "@header.x", parts_by = {value = "way", table = {out = ["id"]}}}]'
    )
    assert outcome(provider, a_request(BODY, {"x": mac(b"").hex()})) == "bad_signature"


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ('key = "base64"', base64.b64encode(b"raw key").decode()),
        ('key = "base64", strip = "whsec_"', "whsec_" + base64.b64encode(b"raw key").decode()),
        ('key = "hex"', b"raw key".hex()),
    ],
)
def test_the_key_may_be_written_in_the_secret(options, key):
    provider = a_preset(f'all_of = [{{kind = "hmac", parts = ["@body"], in = "@header.x", {options}}}]')
    request = a_request(BODY, {"x": mac(BODY, "raw key").hex()})
    assert outcome(provider, request, secrets=(key,)) is None
    with pytest.raises(Misconfigured, match=r"sources\.office\.secret: is not written in"):
        provider.check(a_source(secrets=("not a key!",)))


def test_a_digest_contains_the_secret():
    provider = a_preset('all_of = [{kind = "digest", parts = ["@key", "@body", "@secret"], in = "@header.x"}]')
    made = hashlib.sha256(b"the-key" + BODY + b"s3cret").hexdigest()
    assert outcome(provider, a_request(BODY, {"x": made}), key="the-key") is None
    assert outcome(provider, a_request(BODY + b" ", {"x": made}), key="the-key") == "bad_signature"
    with pytest.raises(Misconfigured, match=r"sources\.office\.key is missing"):
        provider.check(a_source(secrets=("s",)))


def test_form_fields_are_signed_as_bytes():
    provider = a_preset('all_of = [{kind = "hmac", parts = ["id", "@form_sorted"], in = "sign"}]', decode="form")
    form = b"id=\xff%FE&b=1+2&a=%D0%90"
    covered = b"\xff\xfe" + b"a\xd0\x90" + b"b1 2" + b"id\xff\xfe"
    body = form + b"&sign=" + mac(covered).hex().encode()
    assert outcome(provider, a_request(body)) == "bad_signature"  # `sign` is a field as well
    provider = a_preset('all_of = [{kind = "hmac", parts = ["id", "b"], in = "sign"}]', decode="form")
    body = form + b"&sign=" + mac(b"\xff\xfe1 2").hex().encode()
    assert outcome(provider, a_request(body)) is None
    provider = a_preset('all_of = [{kind = "hmac", parts = ["@form_sorted"], in = "@header.x"}]', decode="form")
    assert outcome(provider, a_request(form, {"x": mac(covered[2:]).hex()})) is None


@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 1000)])
def test_a_signed_time_must_be_about_now(unit, scale):
    provider = a_preset(
        'all_of = [{kind = "hmac", parts = ["@header.t", "@body"], in = "@header.x", '
        f'timestamp = {{in = "@header.T", unit = "{unit}", tolerance = 300}}}}]'
    )

    def told(stamp):
        return a_request(BODY, {"t": stamp, "x": mac(stamp.encode() + BODY).hex()})

    for near in (NOW - 300, NOW, NOW + 300):
        assert outcome(provider, told(str(int(near * scale)))) is None
    for far in (NOW - 301, NOW + 301, 0):
        assert outcome(provider, told(str(int(far * scale)))) == "stale_timestamp"
    for unreadable in ("", "soon", "1e9", "nan"):
        assert outcome(provider, told(unreadable)) == "stale_timestamp"


def test_an_ed25519_signature_is_the_vendors():
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    provider = a_preset('all_of = [{kind = "ed25519", parts = ["@header.t", "\'|\'", "@body"], in = "@header.x"}]')
    signed = base64.b64encode(private.sign(b"1|" + BODY)).decode()
    request = a_request(BODY, {"t": "1", "x": signed})
    for key in (base64.b64encode(public).decode(), public.hex()):
        assert outcome(provider, request, secrets=(key,)) is None
        assert outcome(provider, request, secrets=("0" * 64, key)) is None
        provider.check(a_source(secrets=(key,)))
    for wrong in ("", "AAAA", "no base64!", signed[:-4] + "AAA="):
        assert outcome(provider, a_request(BODY, {"t": "1", "x": wrong}), secrets=(public.hex(),)) is not None
    assert (
        outcome(provider, a_request(BODY + b" ", {"t": "1", "x": signed}), secrets=(public.hex(),)) == "bad_signature"
    )
    with pytest.raises(Misconfigured, match="is a public key of 32 bytes"):
        provider.check(a_source(secrets=("s3cret",)))


def test_the_official_library_of_standard_webhooks_signs():
    provider = a_preset('all_of = [{kind = "standard_webhooks"}]')
    sign = Webhook(SECRET).sign("msg_1", datetime.fromtimestamp(NOW, UTC), BODY.decode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(NOW)), "webhook-signature": sign}
    assert outcome(provider, a_request(BODY, headers), secrets=(OLD_SECRET, SECRET)) is None
    assert outcome(provider, a_request(BODY + b" ", headers), secrets=(SECRET,)) == "bad_signature"
    with pytest.raises(Misconfigured, match="continues in Base64"):
        provider.check(a_source(secrets=("whsec_!",)))


LONG = "a secret of at least thirty-two bytes for HS256, and of sixty-four for HS512"


def bearer(claims, secret=LONG, algorithm="HS256", **more):
    return {"authorization": "Bearer " + jwt.encode(claims, secret, algorithm=algorithm, **more)}


def test_pyjwt_signs_and_only_hs256_is_taken():
    provider = a_preset('all_of = [{kind = "jwt_hs256", in = "bearer"}]')
    assert outcome(provider, a_request(BODY, bearer({"iss": "x"})), secrets=("other", LONG)) is None
    for headers in (
        bearer({"iss": "x"}, secret=LONG[1:]),
        bearer({"iss": "x"}, algorithm="HS512"),
        bearer({"iss": "x"}, algorithm="HS384"),
        bearer({"iss": "x"}, secret=None, algorithm="none"),
        {"authorization": "Bearer "},
        {"authorization": "Bearer a.b.c"},
        {"authorization": "Bearer .."},
        {},
    ):
        assert outcome(provider, a_request(BODY, headers), secrets=(LONG,)) in {"bad_signature", "no_signature"}


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256", "crit": ["b64"]},
        {"alg": "none"},
        {"alg": "RS256"},
        {"alg": "hs256"},
        {"alg": ["HS256"]},
        {},
        [],
    ],
)
def test_a_token_that_names_another_algorithm_is_refused_though_its_hmac_holds(header):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    signed = f"{part(header)}.{part({'iss': 'x'})}"
    made = base64.urlsafe_b64encode(mac(signed.encode(), LONG)).rstrip(b"=").decode()
    provider = a_preset('all_of = [{kind = "jwt_hs256", in = "bearer"}]')
    request = a_request(BODY, {"authorization": f"Bearer {signed}.{made}"})
    assert outcome(provider, request, secrets=(LONG,)) == "bad_token"


def test_a_token_has_its_time():
    provider = a_preset('all_of = [{kind = "jwt_hs256", in = "bearer", leeway = 60}]')
    for claims in ({"exp": int(NOW)}, {"exp": int(NOW) - 60}, {"nbf": int(NOW) + 60}, {"exp": NOW + 0.5}):
        assert outcome(provider, a_request(BODY, bearer(claims)), secrets=(LONG,)) is None
    for claims in ({"exp": int(NOW) - 61}, {"nbf": int(NOW) + 61}):
        assert outcome(provider, a_request(BODY, bearer(claims)), secrets=(LONG,)) == "stale_timestamp"


def test_a_token_that_names_the_body_is_bound_to_it():
    provider = a_preset('all_of = [{kind = "jwt_hs256", in = "bearer", payload_hash = "payload_hash"}]')
    right = bearer({"payload_hash": hashlib.sha256(BODY).hexdigest()})
    assert outcome(provider, a_request(BODY, right), secrets=(LONG,)) is None
    assert outcome(provider, a_request(BODY + b" ", right), secrets=(LONG,)) == "bad_signature"
    assert outcome(provider, a_request(BODY, bearer({"payload_hash": 7})), secrets=(LONG,)) == "bad_signature"
    assert outcome(provider, a_request(BODY, bearer({})), secrets=(LONG,)) is None


def test_plivos_own_library_signs():
    provider = provider_named("preset:plivo")
    fields = {"CallUUID": "u-1", "From": "1415", "To": "1416", "Direction": "inbound", "Text": "Ä b&c=ü", "Empty": ""}
    for query in ("", "z=1&b=a+x&a="):
        url = f"{URL}?{query}" if query else URL
        v3 = get_signature_v3(b"s3cret", construct_post_url(url, dict(fields)).decode(), "n-1").decode()
        request = a_request(
            urlencode(fields).encode(),
            {"x-plivo-signature-v3": v3, "x-plivo-signature-v3-nonce": "n-1"},
            query=query,
        )
        assert outcome(provider, request) is None
        assert outcome(provider, dataclasses.replace(request, target=request.target + "x")) == "bad_signature"
        assert outcome(provider, dataclasses.replace(request, body=request.body + b"&More=1")) == "bad_signature"
    v2 = base64.b64encode(mac(URL.encode() + b"n-2")).decode()
    assert plivo.utils.validate_signature(URL, "n-2", v2, "s3cret")
    request = a_request(urlencode(fields).encode(), {"x-plivo-signature-v2": v2, "x-plivo-signature-v2-nonce": "n-2"})
    assert outcome(provider, request) is None
    assert outcome(provider, request, public_url="https://other.example.com") == "bad_signature"
    for beside in ("", "forged"):  # V2 says nothing of the fields: never in place of a V3 that is there
        both = dataclasses.replace(request, headers={**request.headers, "x-plivo-signature-v3": beside})
        assert outcome(provider, both) in {"bad_signature", "no_signature"}


def test_a_path_token_does_not_stand_in_for_a_secret_that_is_set():
    provider = a_preset('any_of = [{kind = "bearer"}, {kind = "path_token"}, {kind = "ip"}]')
    assert outcome(provider, a_request(BODY), secrets=(), path_token="p") is None
    assert outcome(provider, a_request(BODY), secrets=(), allow_from=(ip_network("203.0.113.0/24"),)) is None
    assert outcome(provider, a_request(BODY), path_token="p") == "bad_bearer_token"
    assert outcome(provider, a_request(BODY), allow_from=(ip_network("203.0.113.0/24"),)) == "bad_bearer_token"
    assert outcome(provider, a_request(BODY), secrets=()) is not None


def test_all_of_wants_every_one():
    provider = a_preset('all_of = [{kind = "bearer"}, {kind = "query_token"}, {kind = "path_token"}]')
    headers = {"authorization": "Bearer s3cret"}
    assert outcome(provider, a_request(BODY, headers, query="token=0lder"), path_token="p") is None
    assert outcome(provider, a_request(BODY, headers), path_token="p") == "bad_token"
    assert outcome(provider, a_request(BODY, query="token=s3cret"), path_token="p") == "bad_bearer_token"
    assert outcome(provider, a_request(BODY, headers, query="token=s3cret")) == "no_secret_given"


@pytest.mark.parametrize(
    ("auth", "changes", "missing"),
    [
        ('any_of = [{kind = "bearer"}, {kind = "path_token"}]', {}, "path_token or .secret is missing"),
        ('any_of = [{kind = "bearer"}, {kind = "ip"}]', {}, "allow_from or .secret is missing"),
        ('all_of = [{kind = "bearer"}, {kind = "path_token"}]', {"secrets": ("s",)}, "path_token is missing"),
        ('all_of = [{kind = "bearer"}]', {}, "secret is missing"),
    ],
)
def test_a_source_that_could_never_be_verified_is_refused_at_the_start(auth, changes, missing):
    with pytest.raises(Misconfigured, match="office") as error:
        a_preset(auth).check(a_source(**({"secrets": ()} | changes)))
    assert missing in str(error.value)


def test_a_source_that_can_be_verified_is_not_refused():
    provider = a_preset('any_of = [{kind = "bearer"}, {kind = "path_token"}]')
    provider.check(a_source(secrets=(), path_token="p"))
    provider.check(a_source(secrets=("s",)))
    a_preset('any_of = [{kind = "path_token"}]').check(a_source(secrets=("s",), path_token="p"))


CASES = {
    "zoom": ("v0=" + mac(b"v0:1790000100:" + BODY).hex(), "x-zm-signature", {"x-zm-request-timestamp": "1790000100"}),
}


@settings(deadline=None)
@given(st.data())
def test_a_flipped_byte_is_refused(data):
    provider = provider_named("preset:zoom")
    signature, name, headers = CASES["zoom"]
    headers = {**headers, name: signature}
    assert outcome(provider, a_request(BODY, headers)) is None
    where = data.draw(st.sampled_from(["body", *headers]))
    told = BODY if where == "body" else headers[where].encode()
    at = data.draw(st.integers(0, len(told) - 1))
    flipped = told[:at] + bytes([told[at] ^ data.draw(st.sampled_from([1, 2, 4, 8]))]) + told[at + 1 :]
    request = a_request(flipped, headers) if where == "body" else a_request(BODY, headers | {where: flipped.decode()})
    assert outcome(provider, request) in {"bad_signature", "stale_timestamp"}
