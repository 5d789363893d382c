"""Secrets planted in text and documents never come out; what an operator needs to read does."""

from __future__ import annotations

import hashlib
import json
import re
import string
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from remediator import redaction as redact

CANARIES = st.text(alphabet=string.ascii_letters + string.digits, min_size=8, max_size=40).map(lambda s: f"zQ9{s}")
PUNCTUATED = st.text(alphabet=string.ascii_letters + string.digits + "!#$%*+-./_~,;&()[]{}@", min_size=6, max_size=40)
AROUND = st.text(alphabet=string.ascii_letters + string.digits + " \n\t:=,;'\"{}[]()", max_size=60)

CONTEXTS = [
    "Authorization: Bearer {}",
    "authorization={}",
    '"Authorization": "Basic {}"',
    "curl -H 'X-Api-Key: {}' https://example.com",
    "Cookie: sid={}; theme=dark",
    "Set-Cookie: session={}; HttpOnly",
    "sent Bearer {} to the server",
    "https://user:{}@example.com/path",
    "https://{}@example.com/path",
    "GET https://example.com/x?access_token={}&a=b",
    "GET /login?code={}",
    "postgres://backstage:{}@db:5432/backstage?sslmode=disable",
    "redis://:{}@cache:6379/0",
    "host=db user=app password={} dbname=x",
    "DB_PASSWORD={}",
    "export AWS_SECRET_ACCESS_KEY={}",
    '{{"password":"{}","user":"bob"}}',
    '{{"password": "{}"}}',
    '{{\\"clientSecret\\": \\"{}\\"}}',
    "{{'apiKey': '{}'}}",
    "spring.datasource.password: {}",
    "opts=password={}",
    "pg_dump --password {} backstage",
    "tool --token={} run",
    "CREATE ROLE app PASSWORD '{}'",
    "create user x identified by '{}'",
    "secret => {}",
    "tokens: [{}]",
    '{{"name":"DB_PASSWORD","value":"{}"}}',
    "map[name:API_TOKEN value:{}]",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN EC PRIVATE KEY-----\n{}",
    "client-key-data: {}",
    "eyJ{0}.eyJ{0}.{0}",
    "ghp_{}",
    "xoxb-{}",
    "glpat-{}",
    "password=[redacted]{}",
]


@given(context=st.sampled_from(CONTEXTS), secret=CANARIES, before=AROUND, after=AROUND)
def test_a_planted_secret_never_survives(context: str, secret: str, before: str, after: str) -> None:
    """Whatever stands on the lines around it, a secret in a known place is gone."""
    assert secret not in redact.text(f"{before}\n{context.format(secret)}\n{after}")


@given(
    context=st.sampled_from(["DB_PASSWORD={}", "password: {}", '"password": "{}"', "https://u:{}@h/"]),
    secret=PUNCTUATED,
)
def test_punctuation_in_a_password_saves_none_of_it(context: str, secret: str) -> None:
    """No part of a password survives because a comma, a bracket or a slash stands in it."""
    shown = redact.text(context.format(secret))
    for size in (6, len(secret)):
        assert secret[-size:] not in shown.replace(redact.MARK, "")


@given(value=st.text(max_size=300))
@example("password=password=x")
@example("://:a@b@")
@example("--token --token")
@example('"password":"a\\"b"c')
def test_redaction_is_idempotent(value: str) -> None:
    """Twice is the same as once, on any text."""
    once = redact.text(value)
    assert redact.text(once) == once


@given(
    parts=st.lists(
        st.sampled_from(
            [
                "password",
                "=",
                ":",
                "'",
                '"',
                "\\",
                "[",
                "]",
                "{",
                "}",
                "?",
                "://",
                "@",
                " ",
                "\n",
                "token",
                "--",
                "x1Y",
                "Bearer",
            ]
        ),
        max_size=25,
    )
)
def test_redaction_is_idempotent_on_what_its_patterns_are_made_of(parts: list[str]) -> None:
    """Twice is the same as once, on texts that are all edge cases."""
    once = redact.text("".join(parts))
    assert redact.text(once) == once


@pytest.mark.parametrize(
    "plain",
    [
        "backstage-7d9f8c6b5d-x2x4z",
        "Back-off restarting failed container=backstage pod=backstage-78875655b4-fddqb_backstage",
        "ghcr.io/backstage/backstage@sha256:4bc453b53cb3d914b45f4b250294236adba2c0e09ff6f03793949e7e39fd4cc1",
        "uid 6b1f5b6e-0000-4000-8000-000000000000",
        "2026-11-23T10:00:00.123456Z INFO started in 12.5 s on port 7007",
        "at org.springframework.beans.factory.support.AbstractAutowireCapableBeanFactory.create(Bean.java:602)",
        "/usr/local/lib/python3.11/site-packages/kubernetes_asyncio/client/api_client.py",
        "Invalid value: -1: must be greater than or equal to 0",
        "connection to server at 10.96.0.1, port 5432 failed: Connection refused",
        "FATAL: sorry, too many clients already",
        "exit code 137 (OOMKilled), 3 restarts",
        "is it ready? yes",
        "token bucket is empty; the secretary passed",
    ],
)
def test_what_operators_need_stays(plain: str) -> None:
    """Names, digests, uids, times, paths and error texts are not mistaken for secrets."""
    assert redact.text(plain) == plain


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "d41d8cd98f00b204e9800998ecf8427e",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVPmB92K27uhbUJU1p1r",
        "MIIEpAIBAAKCAQEA7bq2vX3nRrE1Zk9mQ8sT4uV6wX0yZ2aB4cD6eF8gH0iJ2kL4",
    ],
)
def test_secrets_without_a_name_are_known_by_their_shape(secret: str) -> None:
    """Keys, hashes and tokens go even where nothing around them tells."""
    assert redact.text(f"the value was {secret} there") == f"the value was {redact.MARK} there"


@given(secret=CANARIES)
def test_a_document_gives_away_no_secret(secret: str) -> None:
    """Values of environment variables, secret-like keys, Secret data and secrets in texts are gone at any depth."""
    document = {
        "kind": "Secret",
        "data": {"a": secret},
        "stringData": {"b": secret},
        "list": [{"env": [{"name": "HARMLESS", "value": secret}], "kind": "Secret", "data": {"x": {"y": secret}}}],
        "deep": {"adminPassword": secret, "apiToken": secret, "note": f"password={secret}"},
        f"token={secret}": 1,
    }
    assert secret not in str(redact.tree(document))


def test_a_document_keeps_the_rest() -> None:
    """Numbers, booleans, nulls and plain texts pass unchanged, and a secret's number goes."""
    document = {"replicas": 3, "ready": True, "reason": None, "name": "backstage", "pin": 1234, "list": [1, "two"]}
    assert redact.tree(document) == {**document, "pin": redact.MARK}


def test_a_bottomless_document_ends() -> None:
    """Depth is bounded: what lies below it is left out, not walked."""
    document: dict[str, object] = {}
    inner = document
    for _ in range(200):
        inner["a"] = inner = {}
    assert str(redact.tree(document)).count("{") < 60


def test_nul_is_taken_out() -> None:
    """PostgreSQL stores no NUL, so none is handed to it."""
    assert "\x00" not in redact.text("a\x00b")


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "_",
        "--",
        "a.b-",
        "http://",
        "/?",
        "password=",
        'password="a\\',
        "eyJ",
        "cookie: \n",
        "name=key ",
        "[",
        "?x",
        "ö",
        "name=ö",
    ],
)
def test_no_text_makes_it_slow(unit: str) -> None:
    """64 KiB of anything take a fraction of a second: no pattern goes back over what it read."""
    text = (unit * 65536)[:65536]
    begin = time.process_time()
    redact.text(text)
    assert time.process_time() - begin < 1.0


@given(context=st.sampled_from(CONTEXTS), secret=CANARIES, before=AROUND, after=AROUND)
def test_the_quick_look_misses_nothing(context: str, secret: str, before: str, after: str) -> None:
    """What would be taken out is noticed, in a text and in the JSON that brings it."""
    whole = f"{before}\n{context.format(secret)}\n{after}"
    assert redact.may_hold(whole.encode())
    assert redact.may_hold(json.dumps({"a": whole}).encode())


@pytest.mark.parametrize(
    "text", ["größe?abcdef", "--größepassword hunter22", "name: größe_key, value: hunter22", "ż?key"]
)
def test_the_quick_look_reads_letters_of_every_script(text: str) -> None:
    """RE2 counts ASCII alone as letters; what the long way takes out is noticed all the same."""
    assert redact.the_long_way(text, bare=False) != text
    assert redact.text(text) == redact.the_long_way(text, bare=True)


@given(st.text(alphabet=string.ascii_letters + string.digits + "+/=_-~ ", max_size=80))
def test_the_quick_look_misses_no_token(text: str) -> None:
    """Whatever a token is made of: the long way finds nothing where the quick look saw nothing."""
    if not redact.may_hold(text.encode()):
        assert redact.the_long_way(text, bare=True) == text


_ANYWHERE = [(rf"[A-Za-z0-9]{{{place}}}", rf"[A-Za-z0-9]{{{16 - place}}}") for place in range(17)]
LONG_RUN = re.compile(
    "|".join(
        (
            "[A-Za-z0-9]{40}|[A-Za-z0-9]{32}[+/_=~-]|[+/_=~-][A-Za-z0-9]{32}",
            *(f"{before}[0-9]{after}" for before, after in _ANYWHERE),
            *(f"[+/_=~-]{before}[A-Z]{after}|{before}[A-Z]{after}[+/_=~-]" for before, after in _ANYWHERE),
        )
    )
)


@given(st.lists(st.sampled_from([*"aZ0+ .", "a" * 9, "b" * 15, "Q" + "c" * 7, "d" * 31]), max_size=12).map("".join))
def test_the_quick_look_sees_every_long_run(text: str) -> None:
    """With a digit, or with a capital beside a mark, wherever in the run: as a slow and plain expression says."""
    assert redact.may_hold(text.encode()) == (LONG_RUN.search(text) is not None)


def test_no_body_makes_the_quick_look_slow() -> None:
    """256 KiB of ids, none of which is long enough, take a millisecond.

    An automaton that does not fit its memory would be given up again and again, and take a second.
    """
    ids = [hashlib.sha256(str(number).encode()).hexdigest()[:14] for number in range(18_000)]
    body = ".".join(ids).encode()
    assert len(body) > 256 * 1024
    begin = time.process_time()
    assert not redact.may_hold(body)
    assert time.process_time() - begin < 0.2


def test_ordinary_alerts_need_no_second_look() -> None:
    """A body as Alertmanager sends it, with links to a graph and to a runbook: nothing in it is suspicious."""
    alert = {
        "labels": {"alertname": "KubeStatefulSetUpdateNotRolledOut", "pod": "backstage-7d9f8c6b5d-x2x4z"},
        "annotations": {
            "description": "Pod backstage/backstage-7d9f8c6b5d-x2x4z (app) is restarting 1.23 times / 10 minutes.",
            "runbook_url": "https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubepodcrashlooping",
        },
        "startsAt": "2026-03-14T03:12:45.123456789Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=rate%28http_requests_total%7Bcode%3D%22503%22%7D%5B5m%5D%29",
        "fingerprint": "a0f2f65027636f44",
    }
    body = json.dumps({"alerts": [alert], "groupKey": '{}/{a="b"}:{alertname="x"}'}).encode()
    assert not redact.may_hold(body.replace(b"503%22", b"503%22\\u0026g0.tab=1"))


def test_what_is_ours_can_be_kept() -> None:
    """Ids and digests stay where only named secrets are looked for; a named one goes there, too."""
    ours = f"action 3f2a{'0' * 36} of digest {'ab12' * 16}"
    assert redact.text(ours, bare=False) == ours
    assert redact.text(ours) != ours
    assert redact.text("password=hunter2", bare=False) == f"password={redact.MARK}"
