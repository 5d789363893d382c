"""What a good webhook body becomes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from remediator.intake import quick
from remediator.intake.alertmanager import MAX_ALERTS, MAX_QUARANTINED, parse, unquote_meta
from remediator.intake.fingerprint import fingerprint
from remediator.model.signal import Delivery, Status
from tests.intake.bodies import NOW, ZERO, alert, body


def read(text: bytes) -> Delivery:
    """Parse as the web layer does."""
    return parse(text, source="am", received_at=NOW)


def test_reads_one_firing_alert() -> None:
    """Every field of an alert that is kept, as it was sent."""
    delivery = read(body(alert()))
    (signal,) = delivery.signals
    assert signal.source == "am"
    assert signal.fingerprint == "2ba2d04a3cd0d36c"
    assert signal.status is Status.FIRING
    assert signal.labels["pod"] == "backstage-7d9c-x2x"
    assert signal.annotations["summary"] == 'Pod is "crash looping".'
    assert signal.starts_at == datetime(2026, 3, 1, 11, 55, 12, 123457, tzinfo=UTC)
    assert signal.ends_at is None
    assert signal.generator_url.startswith("http://prometheus:9090/graph")
    assert signal.group_key == delivery.group_key == '{}:{alertname="KubePodCrashLooping"}'
    assert delivery.quarantined == ()
    assert delivery.truncated == 0


def test_each_alert_has_its_own_status() -> None:
    """The status at the top says firing if any alert fires; only that of the alert counts."""
    resolved = alert(status="resolved", endsAt="2026-03-01T11:59:00Z", fingerprint="00000000000000aa")
    delivery = read(body(alert(), resolved, status="firing"))
    assert [signal.status for signal in delivery.signals] == [Status.FIRING, Status.RESOLVED]
    assert delivery.signals[1].ends_at == datetime(2026, 3, 1, 11, 59, tzinfo=UTC)


def test_receiver_is_unescaped() -> None:
    """Alertmanager sends its receiver as a quoted regular expression."""
    assert read(body(alert())).receiver == "remediator.hook"
    assert read(body(alert())).signals[0].receiver == "remediator.hook"
    assert unquote_meta(r"a\.b\+c\\d \(x\)") == r"a.b+c\d (x)"
    assert unquote_meta("plain") == "plain"


def test_truncated_alerts_are_noticed() -> None:
    """What Alertmanager left out is counted."""
    assert read(body(alert(), truncatedAlerts=19)).truncated == 19


@pytest.mark.parametrize(
    "extra",
    [
        {"notification_reason": "first notification", "routeLabels": {"a": "b"}},
        {"somethingNew": {"deep": [1, 2.5, None, True]}},
        {"notification_reason": None, "commonAnnotations": None, "externalURL": None, "groupLabels": None},
    ],
)
def test_newer_and_older_bodies_are_taken(extra: dict[str, object]) -> None:
    """Unknown keys are tolerated and new ones are not required."""
    assert len(read(body(alert(), **extra)).signals) == 1


def test_a_new_key_in_an_alert_is_tolerated() -> None:
    """So is one inside the alert."""
    assert len(read(body(alert(labelsV2=[{"x": 1}]))).signals) == 1


def test_missing_fingerprint_is_computed() -> None:
    """A payload made by a template may lack it, or write something else."""
    labels = alert()["labels"]
    for given in (None, "", "XYZ", 17, "2BA2D04A3CD0D36C"):
        (signal,) = read(body(alert(fingerprint=given))).signals
        assert signal.fingerprint == fingerprint(labels)


def test_one_fingerprint_on_two_label_sets_is_not_believed() -> None:
    """Whoever rewrites labels on the way leaves fingerprints that no longer tell alerts apart."""
    other = alert(labels={"alertname": "KubePodCrashLooping", "cluster": "b"})
    first, second = read(body(alert(), other)).signals
    assert first.fingerprint == fingerprint(first.labels)
    assert second.fingerprint == fingerprint(second.labels)
    assert first.fingerprint != second.fingerprint


def test_the_same_alert_twice_in_a_body_is_one() -> None:
    """The same episode in the same state is one fact; another state is another fact."""
    resolved = alert(status="resolved", endsAt="2026-03-01T11:59:00Z")
    assert [signal.status for signal in read(body(alert(), alert(), resolved)).signals] == ["firing", "resolved"]


def test_severity_none_passes_through() -> None:
    """Watchdog is an alert like any other here: rules decide."""
    watchdog = alert(labels={"alertname": "Watchdog", "severity": "none"})
    assert len(read(body(watchdog)).signals) == 1


def test_times_become_utc() -> None:
    """Offsets are honoured, also in the quick reading."""
    (signal,) = read(body(alert(startsAt="2026-03-01T13:55:12+02:00"))).signals
    assert signal.starts_at == datetime(2026, 3, 1, 11, 55, 12, tzinfo=UTC)
    assert signal.starts_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("ends_at", "expected"),
    [
        ("2026-03-01T11:59:00Z", datetime(2026, 3, 1, 11, 59, tzinfo=UTC)),
        ("2026-03-01T13:59:00+02:00", datetime(2026, 3, 1, 11, 59, tzinfo=UTC)),
        ("2026-03-01T12:30:00Z", NOW),
        ("2026-03-01T11:00:00Z", datetime(2026, 3, 1, 11, 55, tzinfo=UTC)),
        (ZERO, datetime(2026, 3, 1, 11, 55, tzinfo=UTC)),
        (None, datetime(2026, 3, 1, 11, 55, tzinfo=UTC)),
    ],
)
def test_the_end_of_a_resolved_alert(ends_at: str | None, expected: datetime) -> None:
    """Never before its start, never after our receipt: a late tombstone would bury the next episode."""
    resolved = alert(status="resolved", startsAt="2026-03-01T11:55:00Z", endsAt=ends_at)
    (signal,) = read(body(resolved)).signals
    assert signal.ends_at == expected


def test_the_end_of_a_firing_alert_is_not_read() -> None:
    """It is Go's zero time, or Prometheus's guess."""
    for ends_at in (None, "2026-03-01T12:04:00Z", "nonsense"):
        (signal,) = read(body(alert(endsAt=ends_at))).signals
        assert signal.ends_at is None


def test_long_texts_for_people_are_cut() -> None:
    """Annotations and links are read by people: the alert is worth more than their last kilobyte."""
    many = {f"a{n}": "x" for n in range(70)} | {"": "nameless"}
    long = alert(annotations={"description": "x" * 9000} | many, generatorURL="u" * 9000)
    delivery = read(body(long, groupKey="g" * 9000))
    (signal,) = delivery.signals
    assert len(signal.annotations) == 64
    assert len(signal.annotations["description"]) == 4096
    assert signal.annotations["description"].endswith("…")
    assert len(signal.generator_url) == len(signal.group_key) == 2048


def test_annotations_lose_what_cannot_be_stored() -> None:
    """PostgreSQL refuses NUL and lone surrogates; an annotation is not worth an alert."""
    (signal,) = read(body(alert(annotations={"a\0b": "x\0y\ud800"}, generatorURL="\0"))).signals
    assert signal.annotations == {"a\ufffdb": "x\ufffdy?"}
    assert signal.generator_url == "\ufffd"


def test_annotations_may_be_null_or_missing() -> None:
    """An alert is known by its labels alone."""
    text = body(alert(annotations=None), alert(fingerprint="00000000000000aa")).replace(
        b'"annotations":{', b'"annotations":null,"was":{'
    )
    assert [signal.annotations for signal in read(text).signals] == [{}, {}]


def test_an_empty_group_is_no_fault() -> None:
    """Nothing to do is not an error."""
    assert read(body()).signals == ()


def test_more_alerts_than_the_cap_are_counted_as_left_out() -> None:
    """Beyond the cap nothing is read, but nothing is silent: it counts as truncated and one entry says so."""
    alerts = [alert(labels={"alertname": "A", "n": str(n)}, fingerprint=f"{n:016x}") for n in range(MAX_ALERTS + 2)]
    delivery = read(body(*alerts, truncatedAlerts=3))
    assert len(delivery.signals) == MAX_ALERTS
    assert delivery.truncated == 5
    assert [entry.path for entry in delivery.quarantined] == [f"$.alerts[{MAX_ALERTS}:]"]


def test_quarantine_of_one_body_is_bounded() -> None:
    """A body of nothing but bad alerts makes no more than a hundred entries, and one with the number of the rest."""
    delivery = read(body(*(alert(status="odd") for _ in range(MAX_QUARANTINED + 50))))
    assert len(delivery.quarantined) == MAX_QUARANTINED + 1
    assert delivery.quarantined[-1].reason == "50 more alerts of this body are bad too"


def test_what_alertmanager_sends_is_read_quickly() -> None:
    """The quick reading takes real bodies: otherwise its speed is of no use."""
    newest = {"notification_reason": "repeat interval elapsed", "routeLabels": {"team": "platform"}}
    for text in (body(alert()), body(alert(), **newest), body(alert(annotations={"t": "\\d+: \"x\": 'y' & é"}))):
        assert quick.read(text) is not None


def test_received_at_may_be_in_any_zone() -> None:
    """The caller's zone does not change what is believable."""
    there = NOW.astimezone(timezone(timedelta(hours=5)))
    assert len(parse(body(alert()), source="am", received_at=there).signals) == 1
