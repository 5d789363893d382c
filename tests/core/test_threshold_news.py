"""What the threshold table tells: signals that keep their identity, entries, and one message for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from remediator.core import threshold_news as news
from remediator.core.record import transition_entry
from remediator.core.signals import Change, fold
from remediator.core.thresholds import RowLook, Step, Terms, Turn
from remediator.model.entry import EntryKind
from remediator.model.measure import Level, Phase, RowState, SeriesState
from remediator.model.signal import Signal, Status, StoredSignal

T0 = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)
LATER = T0 + timedelta(minutes=10)
TERMS = Terms(
    row="cpu-usage",
    expr="x",
    warning=70,
    critical=85,
    for_s=120,
    recover_below=65,
    recover_for_s=300,
    unknown_after_s=600,
    gap_s=40,
)
STATE = SeriesState(
    row="cpu-usage",
    fingerprint="f" * 16,
    labels={"alertname": "cpu-usage", "namespace": "backstage", "workload": "portal", "workload_type": "deployment"},
    phase=Phase.FIRING,
    level=Level.WARNING,
    value=71.23456,
    fired_at=T0,
)
ROW = RowState(row="cpu-usage", looked_at=LATER)


def told(turn: Turn, at: datetime = LATER, **changes: object) -> Signal:
    """Return the signal of one turn."""
    step = Step(turn=turn, state=structs.replace(STATE, **changes))
    (signal,) = news.signals(RowLook(row=ROW, states={}, steps=(step,)), TERMS, "percent", at)
    return signal


def seen(look: RowLook) -> tuple[list[EntryKind], str, bool | None]:
    """Return the kinds of the entries, the message, and whether it is urgent."""
    call = news.call([look], LATER)
    kinds = [entry.kind for entry in news.entries([look], LATER)]
    return kinds, call.message if call else "", call.urgent if call else None


def test_an_episode_is_one_alert_from_warning_to_its_end() -> None:
    """Its fingerprint and source stay; the level is a label; the ledger says each change in words."""
    signals = (
        told(Turn.FIRES, T0),
        told(Turn.RISES, T0 + timedelta(minutes=1), level=Level.CRITICAL, value=91),
        told(Turn.EASES, T0 + timedelta(minutes=2)),
        told(Turn.ENDS, value=60),
    )
    assert {(one.source, one.fingerprint) for one in signals} == {("prometheus/cpu-usage", "f" * 16)}
    stored = [StoredSignal(id=n, signal=one, received_at=LATER, last_seen_at=LATER) for n, one in enumerate(signals)]
    steps = fold(stored, {})
    assert [step.change for step in steps] == [Change.OPENED, Change.CHANGED, Change.CHANGED, Change.RESOLVED]
    assert steps[1].state.labels["severity"] == "critical"
    assert steps[1].before["severity"] == "warning"
    words = [entry.summary for step in steps if (entry := transition_entry(step, 1)) is not None]
    assert words == [
        "cpu-usage of backstage/portal fires: warning for 2 min: 71.23 % (warning from 70 %, critical from 85 %)",
        "cpu-usage of backstage/portal fires on: critical for 2 min: 91 % (warning from 70 %, critical from 85 %)",
        "cpu-usage of backstage/portal fires on: warning for 2 min: 71.23 % (warning from 70 %, critical from 85 %)",
        "cpu-usage of backstage/portal is over: 60 %, below 65 % for 5 min",
    ]


def test_an_alert_of_others_changes_its_level_by_its_severity_alone() -> None:
    """A repetition is no change, and an older signal neither."""
    first = told(Turn.FIRES, T0)
    for later in (told(Turn.FIRES, LATER), told(Turn.RISES, T0 - timedelta(minutes=1), level=Level.CRITICAL)):
        stored = [
            StoredSignal(id=n, signal=one, received_at=LATER, last_seen_at=LATER)
            for n, one in enumerate((first, later))
        ]
        assert fold(stored, {})[1].change is Change.CONTINUES


def test_the_labels_of_an_alert_are_the_rows_and_not_the_series() -> None:
    """A series cannot pass itself off as another alert, nor choose its severity."""
    key = (("alertname", "Watchdog"), ("namespace", "backstage"), ("severity", "none"))
    assert news.identity(key, "cpu-usage") == {"alertname": "cpu-usage", "namespace": "backstage"}


def test_a_blind_row_is_one_message() -> None:
    """Urgent where something of it was not well when it was last seen."""
    row = structs.replace(ROW, unknown_since=T0, unknown_why="timeout: p:9090", called=True)
    well = structs.replace(STATE, phase=Phase.OK, level=None)
    kinds, message, urgent = seen(RowLook(row=row, states={"f": STATE, "e": well}, row_overdue=True))
    assert (kinds, urgent) == ([EntryKind.MONITORING_LOST], True)
    assert "the row cpu-usage of the threshold table has been unknown for 10 min (timeout: p:9090)" in message
    assert "1 series (backstage/portal) not well when last seen" in message
    alone = RowLook(row=row, states={"e": well}, row_overdue=True)
    quiet = news.call([alone, RowLook(row=ROW, states={})], LATER)
    assert quiet is not None
    assert not quiet.urgent
    whole = news.call([alone, alone], LATER)
    assert whole is not None
    assert whole.urgent, "nothing of the whole table is known"


def test_series_that_cannot_be_seen_are_named_ten_at_most() -> None:
    """With how many more there are; urgent if one of them fires."""
    gone = [structs.replace(STATE, unknown_since=T0, unknown_why="vanished", phase=Phase.OK, level=None)] * 12
    kinds, message, urgent = seen(RowLook(row=ROW, states={}, overdue=tuple(gone)))
    assert (kinds, urgent) == ([EntryKind.MONITORING_LOST], False)
    assert "cpu-usage: 12 series (backstage/portal, " in message
    assert "and 2 more) unknown for 10 min (vanished)" in message
    sick = structs.replace(STATE, unknown_since=T0, unknown_why="nan")
    assert seen(RowLook(row=ROW, states={}, overdue=(sick,)))[2] is True


def test_that_a_row_is_seen_again_is_kept_and_nobody_called() -> None:
    """The ledger alone."""
    kinds, message, _ = seen(RowLook(row=ROW, states={}, row_found=True))
    assert (kinds, message) == ([EntryKind.MONITORING_FOUND], "")


def test_a_row_that_is_in_no_rule_any_more_ends_its_alerts() -> None:
    """What did not fire has nothing to end."""
    (end,) = news.retired([STATE, structs.replace(STATE, phase=Phase.PENDING, level=None)], LATER)
    assert (end.status, end.starts_at, end.ends_at) == (Status.RESOLVED, T0, LATER)
    assert "not in the rules" in end.annotations["summary"]


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [(71.23456, "percent", "71.23 %"), (0.5, "seconds", "0.5 seconds"), (3.0, "", "3"), (None, "percent", "no value")],
)
def test_figures(value: float | None, unit: str, expected: str) -> None:
    """Short, with the unit."""
    assert news.figure(value, unit) == expected
