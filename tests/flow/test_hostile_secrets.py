"""A secret in an alert stays in the alert: nothing that we keep, say or send holds it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs

from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger.connect import without_password
from remediator.intake.alertmanager import parse
from remediator.intake.scrub import hide_secrets, may_hold_secrets, without_secrets
from tests.flow.rig import Rig, alert, deployment, rig

CANARY = "hunter2canary"
PLACES: dict[str, dict[str, Any]] = {
    "label": {"labels": {"instance": f"postgres://app:{CANARY}@db:5432/app"}},
    "annotation": {"annotations": {"description": f"cannot log in, password={CANARY} was refused"}},
    "header": {"annotations": {"description": f"GET / with Authorization: Bearer {CANARY}.{CANARY}"}},
    "link": {"generatorURL": f"http://prom:{CANARY}@prometheus:9090/graph"},
    "group": {"groupKey": f'{{}}:{{instance="http://a:{CANARY}@b"}}'},
    "spelt": {"labels": {"instance": f"postgres:\\u002f/app:{CANARY}\\u0040db"}},
}
TABLES = ("signals", "inbox", "quarantine", "alerts", "candidates", "incidents", "actions", "ledger", "outbox")


def body(**changes: Any) -> bytes:
    """Return Alertmanager's body about one firing alert."""
    one = alert()
    now = one.starts_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    entry = {
        "status": "firing",
        "labels": {**one.labels, **changes.pop("labels", {})},
        "annotations": changes.pop("annotations", {}),
        "startsAt": now,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": changes.pop("generatorURL", "http://prometheus:9090/graph"),
        "fingerprint": one.fingerprint if one.fingerprint.strip("0123456789abcdef") == "" else "00000000000000aa",
    }
    whole = {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "receiver": "remediator",
        "status": "firing",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": [entry],
        **changes,
    }
    return json.dumps(whole, separators=(",", ":")).replace("\\\\u00", "\\u00").encode()


async def kept(r: Rig) -> str:
    """Return every row of every table as text."""
    parts = []
    for table in TABLES:
        statement = f"SELECT to_jsonb(t)::text AS row FROM remediator.{table} AS t"  # noqa: S608 - the names above
        parts += [row["row"] for row in await r.rows(statement)]
    return "\n".join(parts)


@pytest.mark.parametrize("where", PLACES)
async def test_a_secret_in_an_alert_is_kept_nowhere(database: str, where: str) -> None:
    """It is decided about, acted on, told and written down; the password is in none of it."""
    async with rig(database) as r:
        r.put(deployment())
        delivery = parse(body(**PLACES[where]), source="alertmanager", received_at=SystemClock().now())
        assert len(delivery.signals) == 1
        await r.inbox.accept(delivery)
        await r.settle()
        assert len(r.writes()) == 1
        assert CANARY not in await kept(r)
        assert CANARY not in repr(r.ear.events)
        assert CANARY not in repr(r.people.heard)


def test_what_holds_no_secret_is_kept_to_the_letter() -> None:
    """Words that only sound like one change nothing: labels choose the target."""
    labels = {"region": "asia-east1", "service": "token-service", "mail": "ops@example.com", "tier": "basic"}
    delivery = parse(body(labels=labels), source="alertmanager", received_at=SystemClock().now())
    (signal,) = delivery.signals
    assert signal == structs.replace(signal, labels={**alert().labels, **labels})


@pytest.mark.parametrize(
    "secret",
    [
        "https://user:hunter2@host/x",
        "Bearer abcdefgh",
        "basic QWxhZGRpbjpv",
        *(f"{word}=hunter2" for word in ("Password", "passwd", "pwd", "PASSPHRASE", "secret", "token", "cookie")),
        *(f"{word}: hunter2" for word in ("api_key", "api-key", "APIKEY", "access_key", "accesskey", "access-key")),
        *(f"{word}: hunter2" for word in ("private_key", "private-key", "privatekey")),
        "-----BEGIN RSA PRIVATE KEY-----abcd",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
        *(f"{prefix}0123456789abc" for prefix in ("AKIA", "ASIA", "ghp_", "gho_", "ghs_", "xoxa-", "xoxb-", "glpat-")),
    ],
)
def test_the_quick_look_misses_nothing_that_would_be_hidden(secret: str) -> None:
    """Whatever the patterns take out is noticed before, in a text and in a body."""
    assert hide_secrets(secret) != secret
    assert without_secrets(f"it is {secret}") == hide_secrets(f"it is {secret}")
    assert may_hold_secrets(json.dumps({"a": secret}).encode())


@pytest.mark.parametrize(
    ("dsn", "kept_as"),
    [
        ("postgresql://app:hunter2@db:5432/x", "postgresql://app@db:5432/x"),
        ("postgresql://app:hun:ter2%40@db/x?sslmode=require", "postgresql://app@db/x?sslmode=require"),
        ("postgresql://app@db/x?password=hunter2&sslpassword=hunter2", "postgresql://app@db/x"),
        (
            "postgresql://postgres@/postgres?host=%2Frun%2Fpg&port=5432",
            "postgresql://postgres@/postgres?host=%2Frun%2Fpg&port=5432",
        ),
        ("postgresql:///postgres?host=/run/pg", "postgresql:///postgres?host=%2Frun%2Fpg"),
    ],
)
def test_the_database_s_password_is_not_left_on_the_disk(dsn: str, kept_as: str) -> None:
    """The file that tells commands where the daemon's database is says everything but the password."""
    assert without_password(dsn) == kept_as
