"""What the stages tell, as log lines and as Prometheus metrics.

The only place that knows prometheus-client. Labels come from closed sets: the stages, outcomes and reasons of our own
code, and the names of the actions there are. A word outside its set is counted as ``other``, so that nothing that
arrives from outside can make new series.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from remediator import __version__
from remediator.model.action import Verdict
from remediator.model.decision import HoldReason
from remediator.ports.observer import StageEvent

OTHER = "other"
MAX_PAIRS = 400
"""How many (stage, outcome) pairs get series of their own: several times as many as the code has."""

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SLOW = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_HOLDS = frozenset(HoldReason)
_VERDICTS = frozenset(Verdict)
# Series of these exist from the start, so that a rate over them is 0 and not absent.
_USUAL_CODES = (200, 400, 401, 405, 503)

_STATES = ("ok", "pending", "warning", "critical", "unknown")

# Words that structlog keeps for itself.
_TAKEN = frozenset({"event", "level", "timestamp"})
# What each request or step does; worth a line only when somebody asks for all of them.
_DEBUG = frozenset(
    {
        ("webhook", "accepted"),
        *(("match", "signals"), ("match", "candidates"), ("assess", "read"), ("admit", "hold"), ("rules", "unchanged")),
        *(("connection", "idle"), ("connection", "evicted"), ("connection", "expired"), ("connection", "refused")),
        ("connection", "handshake_failed"),
        *(("seal", "sealed"), ("reconcile", "asked"), ("poll", "polled"), ("poll", "eases")),
    }
)
_WARNING = frozenset(
    {
        "broken_off", "calls", "certificate", "cut_off", "deadline", "encoding", "escalated", "expired",
        "fires", "full", "history_unknown", "in_doubt", "interrupted", "late", "lost", "malformed", "memory",
        "method", "missed", "missing", "off", "overtaken", "quarantined", "refused", "rejected", "retried",
        "rises", "row_unknown", "skewed", "store", "too_large", "too_slow", "trouble", "truncated",
        "unauthorized", "unheard", "unknown", "unmeasured", "unreadable", "unrecorded", "unseen", "waiting",
        "warning", "world_readable", "worse",
    }
)  # fmt: skip
_ERROR = frozenset({"blind", "blocked", "bug", "dead", "failed", "fault", "tampered"})


class Telemetry:
    """Implements ports.observer.Observer. Wiring feeds the gauges; ``render`` is what ``/metrics`` answers.

    ``actions`` are the names of the actions there are.
    """

    def __init__(self, actions: Iterable[str] = ()) -> None:
        """Begin at zero, with a registry of its own."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._log = structlog.get_logger("remediator").bind()
        self._actions = frozenset(actions)
        self._routes: dict[tuple[str, str], _Route] = {}
        self._count = _Counters(self.registry)
        self._gauge = _Gauges(self.registry)
        self._codes = {code: self._count.requests.labels(str(code)) for code in _USUAL_CODES}
        self._facts = {word: self._count.signals.labels(word) for word in ("new", "known")}
        self._special: dict[str, Callable[[StageEvent, str], None]] = {
            "webhook": self._count_request,
            "intake": self._count_signals,
            "hold": self._count_hold,
            "verify": self._count_verdict,
            "notify": self._count_message,
            "execute": self._count_execution,
            "rules": self._note_rules,
            "fences": self._note_fences,
            "poll": self._note_poll,
        }
        self._gauge.build.labels(version=__version__, python=platform.python_version()).set(1)

    def tell(self, event: StageEvent) -> None:
        """Count and log one event. Never raises: a full disk under the log must not stop a stage."""
        route = self._routes.get((event.stage, event.outcome)) or self._new_route(event)
        route.count.inc(event.count)
        if event.seconds is not None:
            route.seconds.observe(event.seconds)
        if route.special is not None:
            route.special(event, route.outcome)
        try:
            if self._log.is_enabled_for(route.level):
                self._log.log(route.level, f"{event.stage} {event.outcome}", **_line(event))
        except (OSError, ValueError):
            # Nowhere left to complain but the metric: the log's stream is closed or its disk is full.
            self._count.log_failures.inc()

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)

    def inbox(self, waiting: int, oldest_s: float) -> None:
        """Set how many signals wait to be matched, and since how many seconds the oldest does."""
        self._gauge.inbox_depth.set(waiting)
        self._gauge.inbox_oldest.set(oldest_s)

    def loop_lag(self, seconds: float) -> None:
        """Set how late the event loop was at most in the last minute."""
        self._gauge.loop_lag.set(seconds)

    def clock_skew(self, seconds: float) -> None:
        """Set how far this host's clock is ahead of the database's."""
        self._gauge.clock_skew.set(seconds)

    def sealing(self, unsealed_s: float, whole: bool) -> None:  # noqa: FBT001 - a figure like the other
        """Set how old the oldest entry without a seal is, and whether the chain is the one that was seen before."""
        self._gauge.unsealed.set(unsealed_s)
        self._gauge.chain_whole.set(int(whole))

    def patrol(self, faults: int) -> None:
        """Set how many faults the patrol has found in the ledger."""
        self._gauge.ledger_faults.set(faults)

    def connections(self, count: int) -> None:
        """Set how many connections are open on the listening port."""
        self._gauge.connections.set(count)

    def _new_route(self, event: StageEvent) -> _Route:
        """Look up the series of a pair once; a pair beyond the bound shares those of ``other``."""
        pair = (event.stage, event.outcome)
        full = len(self._routes) >= MAX_PAIRS
        stage, outcome = (OTHER, OTHER) if full else pair
        # Verification takes as long as a rollout does; everything else as long as a request.
        timed = self._count.verify_seconds if event.stage == "verify" else self._count.seconds.labels(stage)
        special = self._special.get(event.stage)
        route = _Route(self._count.events.labels(stage, outcome), timed, special, outcome, _level(event))
        if not full:
            self._routes[pair] = route
        return route

    def _count_request(self, event: StageEvent, _outcome: str) -> None:
        code = event.fields.get("code")
        known = self._codes.get(code) if isinstance(code, int) else None
        (known or self._count.requests.labels(_code(code))).inc()
        for word, series in self._facts.items():
            if number := event.fields.get(word):
                series.inc(number)
        if event.fields.get("method") in {"GET", "HEAD"}:
            self._count.gets.inc()

    def _count_signals(self, event: StageEvent, outcome: str) -> None:
        self._count.signals.labels(outcome).inc(event.count)

    def _count_hold(self, event: StageEvent, outcome: str) -> None:
        self._count.holds.labels(reason=_one_of(_HOLDS, outcome)).inc(event.count)

    def _count_verdict(self, event: StageEvent, outcome: str) -> None:
        verdict = _one_of(_VERDICTS, outcome)
        self._count.verdicts.labels(verdict=verdict).inc(event.count)
        self._count_action(str(event.fields.get("name", "")), verdict)

    def _count_execution(self, event: StageEvent, outcome: str) -> None:
        if outcome == "interrupted":
            self._count_action(str(event.fields.get("name", "")), outcome)
        else:
            self._count_action(outcome, "carried_out")

    def _count_action(self, name: str, outcome: str) -> None:
        self._count.actions.labels(action=_one_of(self._actions, name), outcome=outcome).inc()

    def _note_rules(self, event: StageEvent, outcome: str) -> None:
        rejected = outcome == "rejected"
        self._gauge.rules_stale.set(int(rejected))
        if rejected:
            self._count.rules_rejected.inc()
        count = event.fields.get("rules")
        if isinstance(count, int):
            self._gauge.rules.set(count)

    def _note_fences(self, _event: StageEvent, outcome: str) -> None:
        if outcome != "unrecorded":
            self._gauge.fences.set(int(outcome == "enforced"))

    def _note_poll(self, event: StageEvent, outcome: str) -> None:
        """Show what the last tick saw; who polls no more shows nothing, for another replica does."""
        if outcome not in {"polled", "rests"}:
            return
        polls = outcome == "polled"
        self._gauge.poller.set(int(polls))
        for state in _STATES:
            self._gauge.series.labels(state).set(event.fields.get(state, 0) if polls else 0)
        self._gauge.rows_unknown.set(len(event.fields.get("rows_unknown", ())) if polls else 0)

    def _count_message(self, event: StageEvent, outcome: str) -> None:
        self._count.notifications.labels(outcome=outcome).inc(event.count)


@dataclass(frozen=True, slots=True)
class _Route:
    """Where the events of one stage and outcome go. Looking series up by label for each event would cost more."""

    count: Counter
    seconds: Histogram
    special: Callable[[StageEvent, str], None] | None
    outcome: str
    level: int


class _Counters:
    """Everything that only rises."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self.events = counter("remediator_stage_events_total", "What the stages did.", "stage", "outcome")
        self.requests = counter(
            "remediator_webhook_requests_total", "Requests to the webhook, by the code of the answer.", "code"
        )
        self.gets = counter(
            "remediator_webhook_gets_total", "GETs on the webhook: Alertmanager was redirected and loses alerts."
        )
        self.signals = counter(
            "remediator_signals_total", "Alerts: new, known, quarantined, or truncated by Alertmanager.", "outcome"
        )
        self.holds = counter("remediator_holds_total", "Decisions not to act, by reason.", "reason")
        self.verdicts = counter(
            "remediator_verdicts_total", "What became of actions after they were applied.", "verdict"
        )
        self.actions = counter(
            "remediator_actions_total", "Actions: carried out, interrupted, and their verdicts.", "action", "outcome"
        )
        self.notifications = counter("remediator_notifications_total", "Messages to people.", "outcome")
        self.rules_rejected = counter(
            "remediator_rules_rejected_total", "Rule sets that had faults and did not come into force."
        )
        self.log_failures = counter("remediator_log_failures_total", "Lines that could not be written to the log.")
        self.seconds = Histogram(
            "remediator_stage_seconds", "How long stages took.", ["stage"], buckets=_QUICK, registry=registry
        )
        self.verify_seconds = Histogram(
            "remediator_verify_seconds", "From an action to its verdict.", buckets=_SLOW, registry=registry
        )


class _Gauges:
    """Everything that rises and falls."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        self.build = gauge("remediator_build_info", "Which version runs; always 1.", "version", "python")
        self.inbox_depth = gauge("remediator_inbox_depth", "Signals that wait to be matched.")
        self.inbox_oldest = gauge("remediator_inbox_oldest_seconds", "How long the oldest of them has been waiting.")
        self.rules = gauge("remediator_rules", "Rules in force.")
        self.rules_stale = gauge(
            "remediator_rules_stale", "1 while the files on disk have faults and older rules are in force."
        )
        self.fences = gauge(
            "remediator_fences_enforced", "1 while the cluster is known to refuse writes of an overtaken replica."
        )
        self.loop_lag = gauge(
            "remediator_event_loop_lag_seconds", "How late the event loop was at most in the last minute."
        )
        self.clock_skew = gauge(
            "remediator_clock_skew_seconds", "How far this host's clock is ahead of the database's (negative: behind)."
        )
        self.unsealed = gauge(
            "remediator_ledger_unsealed_seconds", "How old the oldest entry of the ledger without a seal is."
        )
        self.chain_whole = gauge(
            "remediator_ledger_chain_whole", "0 once the chain of seals is not the one that was seen before."
        )
        self.ledger_faults = gauge(
            "remediator_ledger_faults", "Entries and seals that were found to be changed, removed or added."
        )
        self.chain_whole.set(1)
        self.connections = gauge("remediator_http_connections", "Open connections on the listening port.")
        self.poller = gauge("remediator_poller", "1 while this replica polls the threshold table.")
        self.series = gauge("remediator_threshold_series", "Series of the threshold table, by how they stand.", "state")
        self.rows_unknown = gauge(
            "remediator_threshold_rows_unknown", "Rows of the threshold table of which nothing is known."
        )


def _one_of(allowed: frozenset[Any], word: str) -> str:
    return word if word in allowed else OTHER


def _code(code: Any) -> str:
    return str(code) if isinstance(code, int) and 100 <= code <= 599 else OTHER  # noqa: PLR2004 - HTTP's range


def _level(event: StageEvent) -> int:
    if (event.stage, event.outcome) in _DEBUG or event.stage == "hold":
        return 10
    if event.outcome in _ERROR:
        return 40
    return 30 if event.outcome in _WARNING else 20


def _line(event: StageEvent) -> dict[str, Any]:
    line: dict[str, Any] = {"stage": event.stage, "outcome": event.outcome}
    if event.count != 1:
        line["count"] = event.count
    if event.seconds is not None:
        line["seconds"] = round(event.seconds, 6)
    # The event's own words win: a field cannot rename its stage.
    return {**{name: value for name, value in event.fields.items() if name not in _TAKEN}, **line}
