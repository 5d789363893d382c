"""The threshold table, judged: answers of Prometheus to states of series, and what has changed by them.

Unknown is a third value. What was not seen freezes the timers, fires nothing and ends nothing; after a while people are
called. So a breach counts only from one look that saw it to the next one that saw it too, and never over a time in
which nobody looked.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import structs

from remediator.model.measure import Answer, Level, Phase, RowState, Sample, SeriesState, Unseen
from remediator.model.rule import Rule
from remediator.model.signal import Labels

EPSILON = 1e-9
"""Of a value and its threshold: 79.99999999999999 percent are 80."""
AHEAD_S = 1.0
"""How many seconds a sample may be younger than the moment that was asked for."""
STALE_S = 300.0
"""How old the sample of a plain series may be: Prometheus itself takes none that is older, unless told to."""
MOST_SERIES = 20_000
"""Series of one row; an answer with more says nothing."""
_SELECTOR = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})?")

Key = tuple[tuple[str, str], ...]
Reading = float | Unseen
States = Mapping[str, SeriesState]
"""By fingerprint."""
Identify = Callable[[Key], SeriesState | None]
"""From what tells a series apart to its state when nothing is known of it yet; None: it is none of the row's."""


class Turn(StrEnum):
    """What has become of a series by a look."""

    FIRES = "fires"
    RISES = "rises"
    EASES = "eases"
    ENDS = "ends"
    LOST = "unseen"
    SEEN = "seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The numbers of a row; spans in seconds.

    ``gap_s``: so long may lie between two looks that are to count as one after the other. ``needs``: the label without
    which no target can be found, "" where none is needed. ``plain``: the expression selects series as they are, so that
    the times of their samples can be asked for.
    """

    row: str
    expr: str
    warning: float
    critical: float
    for_s: float
    recover_below: float
    recover_for_s: float
    unknown_after_s: float
    gap_s: float
    needs: str = ""

    @property
    def plain(self) -> bool:
        """Tell whether it is asked for the times of the samples, too."""
        return _SELECTOR.fullmatch(self.expr.strip()) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One series that has turned."""

    turn: Turn
    state: SeriesState


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLook:
    """What a look at a row comes to.

    ``states`` are all series of the row by fingerprint; ``changed`` those to be stored, ``forgotten`` those to be
    removed; ``steps`` what has turned; ``overdue`` the series of which people are to be told that nothing is known;
    ``row_overdue``: they are to be told so of the whole row; ``row_found``: it is known again, and they were told.
    """

    row: RowState
    states: States
    changed: tuple[SeriesState, ...] = ()
    forgotten: tuple[SeriesState, ...] = ()
    steps: tuple[Step, ...] = ()
    overdue: tuple[SeriesState, ...] = ()
    row_overdue: bool = False
    row_found: bool = False
    tally: Mapping[str, int] = field(default_factory=dict)


def terms_of(rule: Rule, *, unknown_after_s: float, gap_s: float) -> Terms | None:
    """Return the terms of a row; None: the rule is no row of the threshold table."""
    threshold, target = rule.threshold, rule.target
    if threshold is None:
        return None
    fixed = bool(target.name) and len(target.namespaces) == 1
    below = threshold.recover_below
    return Terms(
        row=rule.name,
        expr=threshold.expr,
        warning=threshold.warning,
        critical=threshold.critical,
        for_s=threshold.for_s,
        recover_below=threshold.warning if below is None else below,
        recover_for_s=rule.recover.for_s,
        unknown_after_s=unknown_after_s,
        gap_s=gap_s,
        needs="" if fixed else target.namespace_label,
    )


def at_least(value: float, limit: float) -> bool:
    """Compare; what differs by a rounding error is equal."""
    return value >= limit - EPSILON * max(1.0, abs(limit))


def key_of(labels: Labels) -> Key:
    """Return what tells series apart: all labels but the metric's name."""
    return tuple(sorted((name, value) for name, value in labels.items() if name != "__name__" and value))


def classify(answer: Answer, terms: Terms, at: datetime) -> dict[Key, Reading]:
    """Return what an answer that is one says of each of its series, asked for the moment ``at``."""
    moment = at.timestamp()
    times = Counter(key_of(sample.labels) for sample in answer.samples)
    readings: dict[Key, Reading] = {}
    for sample in answer.samples:
        key = key_of(sample.labels)
        readings[key] = Unseen.DUPLICATE if times[key] > 1 else _reading(sample, terms, moment)
    return readings


def whole_problem(answer: Answer) -> Unseen | None:
    """Return why an answer says nothing about any series; None: it says something."""
    if answer.problem is not None:
        return answer.problem
    if not answer.samples:
        return Unseen.EMPTY
    return Unseen.TOO_LARGE if len(answer.samples) > MOST_SERIES else None


def _reading(sample: Sample, terms: Terms, moment: float) -> Reading:
    if terms.needs and not sample.labels.get(terms.needs):
        return Unseen.UNLABELLED
    if sample.value is None:
        return Unseen.HISTOGRAM
    if sample.at is not None and sample.at > moment + AHEAD_S:
        return Unseen.FUTURE
    if sample.at is not None and sample.at < moment - STALE_S:
        return Unseen.STALE
    if math.isnan(sample.value):
        return Unseen.NAN
    return Unseen.INFINITE if math.isinf(sample.value) else sample.value


def advance(state: SeriesState, reading: Reading, terms: Terms, at: datetime, credit_s: float) -> SeriesState:
    """Return how a series stands after a reading.

    ``credit_s``: so many seconds have passed since the last look, if that one saw the series too and was not too long
    ago; else 0.
    """
    if isinstance(reading, Unseen):
        since = state.unknown_since or at
        return structs.replace(state, unknown_since=since, unknown_why=reading.value)
    over, critical = at_least(reading, terms.warning), at_least(reading, terms.critical)
    firing = state.phase is Phase.FIRING
    calm = firing and not at_least(reading, terms.recover_below)
    seen = structs.replace(
        state,
        value=reading,
        over_s=_runs(state.over_s, holds=over, credit_s=credit_s),
        critical_s=_runs(state.critical_s, holds=critical, credit_s=credit_s),
        eased_s=_runs(state.eased_s, holds=firing and not critical, credit_s=credit_s),
        calm_s=_runs(state.calm_s, holds=calm, credit_s=credit_s),
        unknown_since=None,
        unknown_why="",
        called=False,
    )
    if not firing:
        return _rising(seen, terms, at)
    if not calm:
        seen = structs.replace(seen, calm_since=None)
    elif state.calm_s is None:
        seen = structs.replace(seen, calm_since=at)
    return _firing(seen, terms, at)


def _runs(before: float | None, *, holds: bool, credit_s: float) -> float | None:
    if not holds:
        return None
    return 0.0 if before is None else before + credit_s


def _rising(seen: SeriesState, terms: Terms, at: datetime) -> SeriesState:
    if seen.over_s is None:
        return structs.replace(seen, phase=Phase.OK)
    if not at_least(seen.over_s, terms.for_s):
        return structs.replace(seen, phase=Phase.PENDING)
    level = Level.CRITICAL if _long(seen.critical_s, terms.for_s) else Level.WARNING
    return structs.replace(seen, phase=Phase.FIRING, level=level, fired_at=at, level_at=at, calm_since=None)


def _firing(seen: SeriesState, terms: Terms, at: datetime) -> SeriesState:
    if _long(seen.calm_s, terms.recover_for_s):
        # How long it had been calm stays: whoever judges an action asks for it.
        return structs.replace(seen, phase=Phase.OK, level=None, level_at=None, calm_s=None, eased_s=None)
    if seen.level is Level.WARNING and _long(seen.critical_s, terms.for_s):
        return structs.replace(seen, level=Level.CRITICAL, level_at=at)
    if seen.level is Level.CRITICAL and _long(seen.eased_s, terms.for_s):
        return structs.replace(seen, level=Level.WARNING, level_at=at)
    return seen


def _long(timer: float | None, wanted: float) -> bool:
    return timer is not None and at_least(timer, wanted)


def credit(row: RowState | None, terms: Terms, at: datetime) -> float:
    """Return how much of the time since the last look counts: all of it, or nothing."""
    if row is None or row.known_at is None or row.unknown_since is not None:
        return 0.0
    passed = (at - row.known_at).total_seconds()
    return passed if 0 < passed <= terms.gap_s else 0.0


def look(
    row: RowState | None, states: States, answer: Answer, terms: Terms, at: datetime, identify: Identify
) -> RowLook:
    """Judge one answer about a row, asked for the moment ``at``."""
    problem = whole_problem(answer)
    if problem is not None:
        return _blind(row, states, _why(problem, answer.detail), terms, at)
    readings = _by_fingerprint(classify(answer, terms, at), identify)
    if not readings:
        return _blind(row, states, _why(Unseen.EMPTY, "no series belongs to the row's rule"), terms, at)
    counted_s = credit(row, terms, at)
    following: dict[str, SeriesState] = {}
    changed: dict[str, SeriesState] = {}
    steps: list[Step] = []
    for fingerprint, (skeleton, reading) in _with_vanished(readings, states):
        before = states.get(fingerprint)
        first = skeleton if before is None else before
        after = advance(first, reading, terms, at, 0.0 if first.unknown_since is not None else counted_s)
        following[fingerprint] = after
        if _differs(before, after):
            changed[fingerprint] = after
            steps += _steps(first, after)
    wanted = [one for one in following.values() if _overdue(one, terms, at) and _worth_telling(one, row, at)]
    overdue, forgotten = _tell(following, changed, wanted)
    return RowLook(
        row=RowState(row=terms.row, looked_at=at, known_at=at),
        states=following,
        changed=tuple(changed.values()),
        forgotten=forgotten,
        steps=tuple(steps),
        overdue=overdue,
        row_found=row is not None and row.called,
        tally=tally(following.values()),
    )


def _by_fingerprint(readings: Mapping[Key, Reading], identify: Identify) -> dict[str, tuple[SeriesState, Reading]]:
    found: dict[str, tuple[SeriesState, Reading]] = {}
    for key, reading in readings.items():
        skeleton = identify(key)
        if skeleton is not None:
            found[skeleton.fingerprint] = (skeleton, reading)
    return found


def _with_vanished(
    readings: dict[str, tuple[SeriesState, Reading]], states: States
) -> Iterator[tuple[str, tuple[SeriesState, Reading]]]:
    yield from readings.items()
    for fingerprint, state in states.items():
        if fingerprint not in readings:
            yield fingerprint, (state, Unseen.VANISHED)


def _tell(
    following: dict[str, SeriesState], changed: dict[str, SeriesState], wanted: Iterable[SeriesState]
) -> tuple[tuple[SeriesState, ...], tuple[SeriesState, ...]]:
    """Mark what people are told of, and return it, and what then may be forgotten: was well and has gone."""
    overdue = [structs.replace(one, called=True) for one in wanted]
    forgotten = [one for one in overdue if one.phase is Phase.OK and one.unknown_why == Unseen.VANISHED]
    for state in overdue:
        following[state.fingerprint] = changed[state.fingerprint] = state
    for state in forgotten:
        del following[state.fingerprint], changed[state.fingerprint]
    return tuple(overdue), tuple(forgotten)


def _why(problem: Unseen, detail: str) -> str:
    return f"{problem.value}: {detail}" if detail else problem.value


def _blind(row: RowState | None, states: States, why: str, terms: Terms, at: datetime) -> RowLook:
    """Return a look that saw nothing: every series stays as it is."""
    before = row or RowState(row=terms.row, looked_at=at)
    since = before.unknown_since or at
    called = before.called or at - since >= timedelta(seconds=terms.unknown_after_s)
    after = structs.replace(before, looked_at=at, unknown_since=since, unknown_why=why, called=called)
    return RowLook(
        row=after, states=states, row_overdue=called and not before.called, tally=tally(states.values(), blind=True)
    )


def _overdue(state: SeriesState, terms: Terms, at: datetime) -> bool:
    since = state.unknown_since
    return since is not None and not state.called and at - since >= timedelta(seconds=terms.unknown_after_s)


def _worth_telling(state: SeriesState, row: RowState | None, at: datetime) -> bool:
    """Tell whether people hear of a series now: what was well waits for the next full hour, to be told with others.

    Every night services fall idle, each at its own time; nobody reads a message about each.
    """
    return state.phase is not Phase.OK or row is None or _hour(row.looked_at) != _hour(at)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _differs(before: SeriesState | None, after: SeriesState) -> bool:
    """Tell whether a state is to be stored. Of a series that is and was well the value alone is not."""
    if before is None or after.phase is not Phase.OK:
        return before != after
    return structs.replace(before, value=None) != structs.replace(after, value=None)


def _steps(before: SeriesState, after: SeriesState) -> Iterator[Step]:
    if before.unknown_since is None and after.unknown_since is not None:
        yield Step(turn=Turn.LOST, state=after)
    if before.unknown_since is not None and after.unknown_since is None:
        yield Step(turn=Turn.SEEN, state=after)
    turn = _turn(before, after)
    if turn is not None:
        # The alert that ends is the one that began then, at the level that it had.
        yield Step(turn=turn, state=structs.replace(after, level=before.level) if turn is Turn.ENDS else after)


def _turn(before: SeriesState, after: SeriesState) -> Turn | None:
    fired, fires = before.phase is Phase.FIRING, after.phase is Phase.FIRING
    if fired != fires:
        return Turn.FIRES if fires else Turn.ENDS
    if before.level is after.level:
        return None
    return Turn.RISES if after.level is Level.CRITICAL else Turn.EASES


def tally(states: Iterable[SeriesState], *, blind: bool = False) -> dict[str, int]:
    """Count series by how they stand: ok, pending, warning, critical, unknown. ``blind``: all are unknown."""
    counts = Counter("unknown" if blind or one.unknown_since is not None else one.level or one.phase for one in states)
    return {word: counts[word] for word in ("ok", "pending", "warning", "critical", "unknown")}
