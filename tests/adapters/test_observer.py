"""Events as metrics and as log lines."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from remediator.adapters.observer import MAX_PAIRS, Telemetry
from remediator.logs import LogFormat, LogLevel, set_up
from remediator.model.decision import HoldReason
from remediator.ports.observer import StageEvent


@pytest.fixture
def out() -> io.StringIO:
    """What is logged at every level."""
    stream = io.StringIO()
    set_up(LogFormat.JSON, LogLevel.DEBUG, stream)
    return stream


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    """Every line that was written."""
    return [json.loads(text) for text in out.getvalue().splitlines()]


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    """One sample of what Prometheus would scrape, None if there is no such series."""
    for family in text_string_to_metric_families(telemetry.render().decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None


def series(telemetry: Telemetry) -> int:
    """How many series there are."""
    return sum(len(family.samples) for family in text_string_to_metric_families(telemetry.render().decode()))


def event(stage: str, outcome: str, count: int = 1, seconds: float | None = None, **fields: Any) -> StageEvent:
    """One event."""
    return StageEvent(stage=stage, outcome=outcome, count=count, seconds=seconds, fields=fields)


def test_an_event_is_counted_timed_and_logged(out: io.StringIO) -> None:
    """Once each, with its fields on the line and not in the labels."""
    telemetry = Telemetry()
    telemetry.tell(event("match", "unmatched", 3, 0.02, incident=7))
    assert value(telemetry, "remediator_stage_events_total", stage="match", outcome="unmatched") == 3
    assert value(telemetry, "remediator_stage_seconds_count", stage="match") == 1
    assert value(telemetry, "remediator_stage_seconds_sum", stage="match") == 0.02
    (line,) = lines(out)
    assert line.pop("timestamp")
    assert line == {
        "event": "match unmatched",
        "level": "info",
        "stage": "match",
        "outcome": "unmatched",
        "count": 3,
        "seconds": 0.02,
        "incident": 7,
    }


@pytest.mark.parametrize(
    ("told", "name", "labels"),
    [
        (event("webhook", "accepted", code=200), "webhook_requests_total", {"code": "200"}),
        (event("webhook", "full", code=503), "webhook_requests_total", {"code": "503"}),
        (event("webhook", "odd", code="x"), "webhook_requests_total", {"code": "other"}),
        (event("webhook", "method", code=405, method="GET"), "webhook_gets_total", {}),
        (event("intake", "quarantined"), "signals_total", {"outcome": "quarantined"}),
        (event("hold", "cooldown"), "holds_total", {"reason": "cooldown"}),
        (event("hold", "invented"), "holds_total", {"reason": "other"}),
        (event("verify", "recovered", seconds=70.0), "verdicts_total", {"verdict": "recovered"}),
        (event("verify", "recovered", seconds=70.0), "verify_seconds_count", {}),
        (event("notify", "sent"), "notifications_total", {"outcome": "sent"}),
        (event("execute", "restart"), "actions_total", {"action": "restart", "outcome": "carried_out"}),
        (event("execute", "rm -rf"), "actions_total", {"action": "other", "outcome": "carried_out"}),
        (event("execute", "interrupted"), "actions_total", {"action": "other", "outcome": "interrupted"}),
        (event("verify", "worse", name="scale"), "actions_total", {"action": "scale", "outcome": "worse"}),
        (event("verify", "odd", name="odd"), "actions_total", {"action": "other", "outcome": "other"}),
        (event("rules", "rejected", rules=3), "rules_rejected_total", {}),
        (event("rules", "rejected", rules=1), "rules", {}),
    ],
)
def test_special_counters(told: StageEvent, name: str, labels: dict[str, str]) -> None:
    """Each of the figures that operators alert on."""
    telemetry = Telemetry(actions=["restart", "scale"])
    telemetry.tell(told)
    assert value(telemetry, f"remediator_{name}", **labels) == 1


def test_gauges() -> None:
    """What wiring feeds."""
    telemetry = Telemetry()
    telemetry.inbox(12, 3.5)
    telemetry.loop_lag(0.25)
    telemetry.connections(4)
    telemetry.clock_skew(-130.5)
    found = {
        name: value(telemetry, f"remediator_{name}")
        for name in (
            "inbox_depth",
            "inbox_oldest_seconds",
            "event_loop_lag_seconds",
            "http_connections",
            "clock_skew_seconds",
        )
    }
    assert list(found.values()) == [12, 3.5, 0.25, 4, -130.5]
    assert b"remediator_build_info{" in telemetry.render()


def test_stale_rules_show_until_good_ones_are_loaded() -> None:
    """The gauge that pages while files on disk have faults."""
    telemetry = Telemetry()
    stale = []
    for outcome in ("loaded", "rejected", "rejected", "loaded", "rejected", "unchanged"):
        telemetry.tell(event("rules", outcome, rules=7))
        stale.append(value(telemetry, "remediator_rules_stale"))
    assert stale == [0, 1, 1, 0, 1, 0]
    assert value(telemetry, "remediator_rules") == 7


def test_the_threshold_table_is_shown_by_who_polls_it() -> None:
    """The last tick as a whole; a replica that rests shows nothing, for another one does."""
    telemetry = Telemetry()
    counts = {"ok": 12, "pending": 1, "warning": 2, "critical": 3, "unknown": 4}
    telemetry.tell(event("poll", "polled", seconds=0.2, rows=5, rows_unknown=["error-rate"], **counts))
    telemetry.tell(event("poll", "fires", 2, row="cpu-usage"))
    shown = {state: value(telemetry, "remediator_threshold_series", state=state) for state in counts}
    assert shown == counts
    assert value(telemetry, "remediator_threshold_rows_unknown") == 1
    assert value(telemetry, "remediator_poller") == 1
    assert value(telemetry, "remediator_stage_seconds_count", stage="poll") == 1
    telemetry.tell(event("poll", "rests"))
    assert {value(telemetry, "remediator_threshold_series", state=state) for state in counts} == {0}
    assert value(telemetry, "remediator_poller") == 0


def test_names_from_outside_make_no_series() -> None:
    """Fifty thousand distinct names change the number of series by what the bound allows, and no more."""
    telemetry = Telemetry(actions=["restart"])
    for reason in HoldReason:
        telemetry.tell(event("hold", reason))
    before = series(telemetry)
    for n in range(5_000):
        told = event("intake", f"new-{n}", source=f"s{n}", alertname=f"a{n}")
        telemetry.tell(told)
        telemetry.tell(event("execute", f"x{n}"))
        telemetry.tell(event("verify", f"v{n}", name=f"n{n}", rule=f"r{n}"))
    # Each pair has a series with its count and one with its birth, and intake's outcomes have a counter of their own.
    assert series(telemetry) - before < 5 * MAX_PAIRS


@pytest.mark.parametrize(
    ("stage", "outcome", "level"),
    [
        ("webhook", "accepted", "debug"),
        ("hold", "cooldown", "debug"),
        ("connection", "evicted", "debug"),
        ("execute", "restart", "info"),
        ("webhook", "unauthorized", "warning"),
        ("credentials", "off", "warning"),
        ("http", "fault", "error"),
        ("notify", "failed", "error"),
    ],
)
def test_levels(out: io.StringIO, stage: str, outcome: str, level: str) -> None:
    """What wants a person is loud, what each request does is quiet."""
    Telemetry().tell(event(stage, outcome))
    assert lines(out)[0]["level"] == level


def test_fields_cannot_pretend_to_be_something_else(out: io.StringIO) -> None:
    """A field of the same name as a word of ours loses."""
    fields = {"event": "x", "level": "x", "stage": "x", "count": 9}
    Telemetry().tell(StageEvent(stage="match", outcome="signals", fields=fields))
    (line,) = lines(out)
    assert (line["event"], line["level"], line["stage"]) == ("match signals", "debug", "match")


def test_a_traceback_is_written(out: io.StringIO) -> None:
    """Of a fault that the web's boundary caught."""
    Telemetry().tell(event("http", "fault", exc_info=KeyError("x")))
    assert "KeyError" in lines(out)[0]["exception"]


def test_a_log_that_cannot_be_written_stops_nobody(out: io.StringIO) -> None:
    """The metric says so."""
    out.close()
    telemetry = Telemetry()
    telemetry.tell(event("match", "unmatched"))
    assert value(telemetry, "remediator_log_failures_total") == 1
    assert value(telemetry, "remediator_stage_events_total", stage="match", outcome="unmatched") == 1
