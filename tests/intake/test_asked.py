"""What Alertmanager answers becomes sightings; what cannot be used is left out by name, and never passes for absent."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.intake.alertmanager import parse
from remediator.intake.asked import MAX_ALERTS, read_alerts, read_labels, read_status
from remediator.intake.fingerprint import fingerprint
from remediator.model.errors import SignalRejected
from remediator.model.sighting import Disposition, Reading
from remediator.model.signal import Status
from tests.intake import bodies

AT = datetime(2026, 3, 14, 3, 10, 0, tzinfo=UTC)
LABELS = {"alertname": "BackstageDown", "namespace": "backstage"}


def alert(**changes: Any) -> dict[str, Any]:
    """Return an alert as version 0.25 writes it."""
    return {
        "annotations": {"summary": "it does not answer"},
        "endsAt": "2026-03-14T03:14:00.000Z",
        "fingerprint": fingerprint(LABELS),
        "receivers": [{"name": "remediator"}, {"name": "web.hook"}],
        "startsAt": "2026-03-14T03:00:00.000Z",
        "status": {"inhibitedBy": [], "silencedBy": [], "state": "active"},
        "updatedAt": "2026-03-14T03:09:30.000Z",
        "generatorURL": "http://prometheus:9090/graph",
        "labels": LABELS,
        **changes,
    }


def read(*alerts: Any) -> Reading:
    """Read an answer with these alerts."""
    return read_alerts(json.dumps(alerts).encode(), "am", AT)


def test_an_alert_is_the_same_as_by_webhook() -> None:
    """The same source, fingerprint, labels and start, so that it is one alert by whichever way it comes."""
    (found,) = read(alert()).sightings
    posted = bodies.body(bodies.alert(labels=LABELS, startsAt="2026-03-14T03:00:00Z", fingerprint=fingerprint(LABELS)))
    (told,) = parse(posted, source="am", received_at=AT).signals
    for name in ("source", "fingerprint", "status", "labels", "starts_at"):
        assert getattr(found.signal, name) == getattr(told, name)
    assert (found.updated_ago_s, found.firing_for_s) == (30.0, 600.0)
    assert found.receivers == ("remediator", "web.hook")
    assert found.signal.ends_at is None


@pytest.mark.parametrize(
    ("status", "how", "by"),
    [
        ({"state": "active", "silencedBy": [], "inhibitedBy": []}, Disposition.ACTIVE, ()),
        ({"state": "suppressed", "silencedBy": ["5e1f"], "inhibitedBy": []}, Disposition.SILENCED, ("5e1f",)),
        ({"state": "suppressed", "silencedBy": [], "inhibitedBy": ["00ff"]}, Disposition.INHIBITED, ("00ff",)),
        ({"state": "suppressed", "silencedBy": ["5e1f"], "inhibitedBy": ["00ff"]}, Disposition.SILENCED, ("5e1f",)),
        ({"state": "unprocessed", "silencedBy": [], "inhibitedBy": []}, Disposition.UNPROCESSED, ()),
        (
            {"state": "suppressed", "silencedBy": [], "inhibitedBy": [], "mutedBy": ["nights"]},
            Disposition.UNPROCESSED,
            (),
        ),
        ({"state": "something new"}, Disposition.UNPROCESSED, ()),
    ],
)
def test_what_is_made_of_its_status(status: dict[str, Any], how: Disposition, by: tuple[str, ...]) -> None:
    """A word that we do not know is not taken for active."""
    (found,) = read(alert(status=status)).sightings
    assert (found.disposition, found.by) == (how, by)


@pytest.mark.parametrize(
    "bad",
    [
        alert(labels={"namespace": "backstage"}),
        alert(labels={**LABELS, "long": "x" * 2000}),
        alert(startsAt="yesterday"),
        alert(startsAt="2026-03-14T09:00:00Z"),
        alert(updatedAt="2026-03-14T03:09:30"),
        alert(status="active"),
        alert(receivers=["remediator"]),
    ],
    ids=["no name", "long label", "no start", "start ahead", "no zone", "status", "receivers"],
)
def test_what_cannot_be_used_is_there_all_the_same(bad: dict[str, Any]) -> None:
    """By its fingerprint: it must not be taken for gone. Without one, the answer is not whole."""
    reading = read(bad, alert())
    assert len(reading.sightings) == 1
    assert (reading.unreadable, reading.whole) == (frozenset({bad["fingerprint"]}), True)
    nameless = read({**bad, "fingerprint": "?"}, alert())
    assert (nameless.unreadable, nameless.whole) == (frozenset(), False)


def test_things_that_are_no_alert_make_the_answer_partial() -> None:
    """Nobody knows what they stand for."""
    assert not read(7, alert()).whole
    assert not read(None).whole


def test_an_answer_without_alerts_is_whole() -> None:
    """Nothing fires, and that is said."""
    assert read() == Reading(sightings=(), unreadable=frozenset(), whole=True)


def test_an_answer_that_is_too_long_is_not_whole() -> None:
    """What was not read may hold anything."""
    assert not read(*[alert()] * (MAX_ALERTS + 1)).whole


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b'"up"', b"[", b"\xff", b"[" * 100_000])
def test_what_is_no_list_is_refused(body: bytes) -> None:
    """As a whole."""
    with pytest.raises(SignalRejected):
        read_alerts(body, "am", AT)


def test_secrets_are_masked_as_in_webhooks() -> None:
    """In labels, annotations and links; the fingerprint stays."""
    labels = {**LABELS, "dsn": "postgresql://ada:geheim@db"}
    (found,) = read(alert(labels=labels, annotations={"run": "token=abcdef123456"})).sightings
    assert "geheim" not in str(found)
    assert "abcdef123456" not in str(found)
    assert found.signal.fingerprint == fingerprint(LABELS)


@pytest.mark.parametrize(("word", "settled"), [("ready", True), ("disabled", True), ("settling", False), ("?", False)])
def test_since_when_it_runs(word: str, settled: bool) -> None:
    """And whether it has heard from its peers. Its configuration is not looked at."""
    whole = {
        "cluster": {"status": word, "peers": []},
        "config": {"original": "global: {}"},
        "uptime": "2026-03-14T04:00:00+01:00",
        "versionInfo": {"version": "0.25.0"},
    }
    running = read_status(json.dumps(whole).encode())
    assert (running.since, running.settled) == (AT - timedelta(minutes=10), settled)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"uptime": "?", "cluster": {"status": "ready"}}', b'{"uptime": "2026-03-14T04:00:00"}'],
)
def test_what_is_no_status_is_refused(body: bytes) -> None:
    """Without a start nobody knows what its silence means."""
    with pytest.raises(SignalRejected):
        read_status(body)


def test_a_start_without_a_zone_is_refused() -> None:
    """It may be off by half a day."""
    with pytest.raises(SignalRejected, match="zone"):
        read_status(b'{"uptime": "2026-03-14T04:00:00", "cluster": {"status": "ready"}}')


def test_labels_of_a_series_are_kept_like_labels_of_an_alert() -> None:
    """Masked and cut; with the fingerprint of what they were."""
    labels = {**LABELS, "dsn": "postgresql://ada:geheim@db", "long": "x" * 5000}
    print_, kept = read_labels(labels)
    assert print_ == fingerprint(labels)
    assert "geheim" not in str(kept)
    assert len(kept["long"]) <= 1024


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(list(alert())), inner),
    )
)
def test_whatever_it_answers_is_read_or_refused(document: Any) -> None:
    """No answer can stop the asking."""
    body = json.dumps(document).encode()
    try:
        reading = read_alerts(body, "am", AT)
    except SignalRejected:
        assert not isinstance(document, list)
        return
    assert all(one.signal.status is Status.FIRING for one in reading.sightings)
