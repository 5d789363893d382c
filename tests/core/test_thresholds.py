"""The threshold table: what an answer says, and how a series stands after it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from remediator.core import thresholds
from remediator.core.thresholds import MOST_SERIES, Key, RowLook, States, Terms, Turn, look
from remediator.model.measure import Answer, Level, Phase, RowState, Sample, SeriesState, Unseen
from remediator.model.rule import Recovery, Threshold
from tests.core import given as g

T0 = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)
TERMS = Terms(
    row="cpu-usage",
    expr="sum by (namespace) (rate(x[5m]))",
    warning=70,
    critical=85,
    for_s=60,
    recover_below=65,
    recover_for_s=30,
    unknown_after_s=120,
    gap_s=40,
    needs="namespace",
)
LABELS = {"namespace": "backstage", "workload": "portal"}


def at(seconds: float) -> datetime:
    """Return a moment so many seconds after the first."""
    return T0 + timedelta(seconds=seconds)


def sample(value: float | None = 50, **changes: Any) -> Sample:
    """Return one series."""
    return structs.replace(Sample(labels=LABELS, value=value), **changes)


def answer(*values: float | None) -> Answer:
    """Return an answer with one series for each value."""
    return Answer(samples=tuple(sample(value, labels={**LABELS, "n": str(n)}) for n, value in enumerate(values)))


def identify(key: Key) -> SeriesState | None:
    """Return the first state of a series; one of another team is none of ours."""
    labels = dict(key)
    if labels.get("namespace") == "billing":
        return None
    return SeriesState(row="cpu-usage", fingerprint=repr(key), labels=labels)


def first_look(given: Answer) -> RowLook:
    """Look at a row of which nothing is known."""
    return look(None, {}, given, TERMS, T0, identify)


def run(answers: Sequence[Answer], *, step_s: float = 15, begin_s: float = 0) -> list[RowLook]:
    """Look again and again, ``step_s`` seconds apart, from so many seconds after the first moment on."""
    row: RowState | None = None
    states: States = {}
    looks: list[RowLook] = []
    for number, given in enumerate(answers):
        found = look(row, states, given, TERMS, at(begin_s + number * step_s), identify)
        row, states = found.row, found.states
        looks.append(found)
    return looks


def turns(looks: Sequence[RowLook]) -> list[tuple[int, Turn]]:
    """Return what turned at which look."""
    return [(number, step.turn) for number, found in enumerate(looks) for step in found.steps]


NAN, INF = math.nan, math.inf
NOW = T0.timestamp()
STRANGE = {
    "nothing": (Answer(), "empty"),
    "not a number": (Answer(samples=(sample(NAN),)), Unseen.NAN),
    "infinite": (Answer(samples=(sample(INF),)), Unseen.INFINITE),
    "infinite below": (Answer(samples=(sample(-INF),)), Unseen.INFINITE),
    "old": (Answer(samples=(sample(90, at=NOW - 301),)), Unseen.STALE),
    "just fresh": (Answer(samples=(sample(90, at=NOW - 299),)), 90.0),
    "of the future": (Answer(samples=(sample(90, at=NOW + 2),)), Unseen.FUTURE),
    "a little ahead": (Answer(samples=(sample(90, at=NOW + 0.5),)), 90.0),
    "old and nan": (Answer(samples=(sample(NAN, at=NOW - 301),)), Unseen.STALE),
    "twice": (Answer(samples=(sample(10), sample(90))), Unseen.DUPLICATE),
    "twice by its name": (
        Answer(samples=(sample(10), sample(10, labels={**LABELS, "__name__": "x"}))),
        Unseen.DUPLICATE,
    ),
    "twice by an empty label": (Answer(samples=(sample(10), sample(10, labels={**LABELS, "a": ""}))), Unseen.DUPLICATE),
    "a native histogram": (Answer(samples=(sample(None),)), Unseen.HISTOGRAM),
    "no namespace": (Answer(samples=(sample(90, labels={"workload": "portal"}),)), Unseen.UNLABELLED),
    "an empty namespace": (Answer(samples=(sample(90, labels={**LABELS, "namespace": ""}),)), Unseen.UNLABELLED),
    "no namespace, nan": (Answer(samples=(sample(NAN, labels={"pod": "x"}),)), Unseen.UNLABELLED),
    "of others": (Answer(samples=(sample(90, labels={"namespace": "billing"}),)), "empty: no series belongs"),
    "too many": (Answer(samples=(sample(),) * (MOST_SERIES + 1)), "too_large"),
    "a scalar": (Answer(problem=Unseen.WRONG_TYPE, detail="the expression gives a scalar"), "wrong_type: the expr"),
    "a matrix": (Answer(problem=Unseen.WRONG_TYPE, detail="the expression gives a matrix"), "wrong_type: the expr"),
    "a part": (Answer(problem=Unseen.PARTIAL, samples=(sample(90),)), "partial"),
    "no answer in time": (Answer(problem=Unseen.TIMEOUT), "timeout"),
    "nobody there": (Answer(problem=Unseen.UNREACHABLE, detail="p:9090"), "unreachable: p:9090"),
    "not allowed": (Answer(problem=Unseen.REFUSED, detail="answers 403"), "refused: answers 403"),
    "out of order": (Answer(problem=Unseen.UNAVAILABLE, detail="answers 503"), "unavailable: answers 503"),
    "garbage": (Answer(problem=Unseen.MALFORMED), "malformed"),
    "no credentials": (Answer(problem=Unseen.CREDENTIALS), "credentials"),
    "freshly wiped": (Answer(problem=Unseen.FRESH, samples=(sample(90),)), "fresh"),
    "zero": (Answer(samples=(sample(0),)), 0.0),
    "negative": (Answer(samples=(sample(-3),)), -3.0),
    "good": (Answer(samples=(sample(50),)), 50.0),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_an_answer_says(name: str) -> None:
    """A value, or why there is none; of one series or of the row; and nothing fires by one look."""
    given, expected = STRANGE[name]
    found = first_look(given)
    assert not [step for step in found.steps if step.turn is Turn.FIRES]
    if isinstance(expected, Unseen):
        (state,) = found.states.values()
        assert (state.unknown_why, state.unknown_since, state.value) == (expected, T0, None)
        assert found.row.unknown_since is None
    elif isinstance(expected, str):
        assert found.row.unknown_why.startswith(expected)
        assert (found.row.unknown_since, found.states) == (T0, {})
    else:
        (state,) = found.states.values()
        assert (state.value, state.unknown_since, state.unknown_why) == (expected, None, "")


@pytest.mark.parametrize(
    ("value", "limit", "expected"),
    [(79.99999999999999, 80, True), (80, 80, True), (79.9999, 80, False), (0.49999999999999994, 0.5, True)],
)
def test_a_rounding_error_is_no_difference(value: float, limit: float, expected: bool) -> None:
    """What promtool gives for 80 percent is 79.99999999999999."""
    assert thresholds.at_least(value, limit) is expected


def test_it_fires_after_for_and_not_before() -> None:
    """Sixty seconds at 75 percent: pending at the looks before, a warning at the fifth."""
    looks = run([answer(75)] * 5)
    assert [next(iter(one.states.values())).phase for one in looks] == [Phase.PENDING] * 4 + [Phase.FIRING]
    assert turns(looks) == [(4, Turn.FIRES)]
    (state,) = looks[-1].states.values()
    assert (state.level, state.fired_at, state.level_at) == (Level.WARNING, at(60), at(60))


def test_what_is_critical_for_long_enough_fires_as_critical() -> None:
    """One look of it is not enough."""
    (state,) = run([answer(90)] * 5)[-1].states.values()
    assert state.level is Level.CRITICAL
    (state,) = run([*[answer(75)] * 4, answer(90)])[-1].states.values()
    assert state.level is Level.WARNING


def test_a_look_below_begins_anew() -> None:
    """As with Prometheus's own ``for``."""
    assert turns(run([*[answer(75)] * 4, answer(69), *[answer(75)] * 4])) == []


def test_it_rises_and_eases_and_ends_below_the_value_of_recovery() -> None:
    """Between 65 and 70 it fires on: that is the hysteresis. Each change takes its time."""
    values = [75] * 5 + [90] * 5 + [72] * 5 + [68] * 3 + [64] * 3
    looks = run([answer(value) for value in values])
    assert turns(looks) == [(4, Turn.FIRES), (9, Turn.RISES), (14, Turn.EASES), (20, Turn.ENDS)]
    (state,) = looks[-1].states.values()
    assert (state.phase, state.level, state.calm_since, state.calm_s) == (Phase.OK, None, at(18 * 15), None)
    assert looks[-1].steps[-1].state.level is Level.WARNING


def test_a_flutter_around_recovery_does_not_end_it() -> None:
    """Calm for 15 seconds, again and again, is not calm for 30."""
    values = [75] * 5 + [64, 64, 66] * 4
    assert turns(run([answer(value) for value in values])) == [(4, Turn.FIRES)]


@pytest.mark.parametrize("blind", [Answer(), answer(NAN), Answer(problem=Unseen.TIMEOUT)])
def test_unknown_freezes_the_timers(blind: Answer) -> None:
    """Neither counted nor begun anew: 30 seconds before and 30 seconds after make 60."""
    looks = run([*[answer(75)] * 3, *[blind] * 4, *[answer(75)] * 3])
    assert [one for one in turns(looks) if one[1] is Turn.FIRES] == [(9, Turn.FIRES)]


@pytest.mark.parametrize("blind", [Answer(), answer(NAN)])
def test_a_single_look_that_saw_nothing_takes_its_time_with_it(blind: Answer) -> None:
    """The looks around it are close enough to each other, and still nobody knows what was between them."""
    looks = run([*[answer(75)] * 3, blind, *[answer(75)] * 3])
    assert [one for one in turns(looks) if one[1] is Turn.FIRES] == [(6, Turn.FIRES)]


def test_unknown_never_ends_it() -> None:
    """Not even after hours; and the calm from before goes on counting when it is seen again."""
    looks = run([*[answer(75)] * 5, answer(60), answer(60), *[Answer()] * 300, answer(60), answer(60)])
    assert [one for one in turns(looks) if one[1] in (Turn.FIRES, Turn.ENDS)] == [(4, Turn.FIRES), (308, Turn.ENDS)]


def test_time_in_which_nobody_looked_does_not_count() -> None:
    """Two looks that are farther apart than 40 seconds say nothing about the time between them."""
    assert turns(run([answer(75)] * 10, step_s=41)) == []
    assert turns(run([answer(75)] * 3, step_s=39)) == [(2, Turn.FIRES)]


def test_a_series_that_vanishes_is_unknown_and_people_are_told_once() -> None:
    """It was firing: it stays so, and nobody forgets it."""
    two, one = answer(75, 10), Answer(samples=answer(75, 10).samples[1:])
    looks = run([*[two] * 5, *[one] * 12])
    assert (5, Turn.LOST) in turns(looks)
    assert [number for number, found in enumerate(looks) if found.overdue] == [13]
    (gone,) = [state for state in looks[-1].states.values() if state.labels["n"] == "0"]
    assert (gone.phase, gone.unknown_why, gone.unknown_since, gone.called) == (
        Phase.FIRING,
        "vanished",
        at(75),
        True,
    )


def test_a_series_that_was_well_and_has_gone_is_told_and_forgotten() -> None:
    """A workload that was removed must not be remembered for ever; people hear of it at the next full hour."""
    two, one = answer(10, 20), Answer(samples=answer(10, 20).samples[1:])
    assert not [found for found in run([two, *[one] * 200]) if found.overdue]
    looks = run([two, *[one] * 20], begin_s=3600 - 12 * 15)
    assert [(number, len(found.overdue)) for number, found in enumerate(looks) if found.overdue] == [(12, 1)]
    assert [len(found.forgotten) for found in looks if found.overdue] == [1]
    assert len(looks[-1].states) == 1
    assert not [state for found in looks if found.forgotten for state in found.changed]


def test_people_are_told_again_only_after_it_was_seen() -> None:
    """Once for each time of being unknown."""
    looks = run([answer(75), *[answer(NAN)] * 20, answer(75), *[answer(NAN)] * 20])
    assert [number for number, found in enumerate(looks) if found.overdue] == [9, 30]


def test_a_row_of_which_nothing_is_known_is_told_once_and_found_again() -> None:
    """After two minutes; its series are not told one by one."""
    looks = run([answer(75, 75), *[Answer()] * 20, answer(75, 75)])
    assert [number for number, found in enumerate(looks) if found.row_overdue] == [9]
    assert [number for number, found in enumerate(looks) if found.row_found] == [21]
    assert not [found for found in looks if found.overdue]
    assert looks[5].tally["unknown"] == 2


def test_only_what_has_changed_is_stored() -> None:
    """Ten looks at a well series: stored once; a firing one at every look, for its timers go on."""
    assert [len(found.changed) for found in run([answer(10)] * 5)] == [1, 0, 0, 0, 0]
    assert [len(found.changed) for found in run([answer(75, 10)] * 5)] == [2, 1, 1, 1, 1]


def test_the_tally() -> None:
    """Of each state one."""
    looks = run([answer(10, 75, 90, NAN, 10)] * 4 + [answer(10, 75, 90, NAN, 75)])
    assert looks[-1].tally == {"ok": 1, "pending": 1, "warning": 1, "critical": 1, "unknown": 1}


def test_the_terms_of_a_row() -> None:
    """Recovery is below the warning where nothing else is said; a fixed target needs no label."""
    threshold = Threshold(expr="up", unit="percent", warning=70, critical=85, for_s=60)
    rule = structs.replace(g.rule(), threshold=threshold, recover=Recovery(for_s=30, within_s=600))
    terms = thresholds.terms_of(rule, unknown_after_s=600, gap_s=40)
    assert terms is not None
    assert (terms.recover_below, terms.recover_for_s, terms.needs, terms.plain) == (70, 30, "namespace", True)
    fixed = structs.replace(rule, target=structs.replace(rule.target, name="db", namespaces=("backstage",)))
    named = thresholds.terms_of(fixed, unknown_after_s=600, gap_s=40)
    assert named is not None
    assert named.needs == ""
    assert thresholds.terms_of(g.rule(), unknown_after_s=600, gap_s=40) is None


@pytest.mark.parametrize(
    ("expr", "plain"),
    [("up", True), (' job:x:ratio{a="b"} \n', True), ("rate(up[5m])", False), ("up > 1", False), ('up{a="}"}', False)],
)
def test_times_are_asked_for_where_the_expression_selects(expr: str, plain: bool) -> None:
    """What is computed has the time of the question, which says nothing."""
    assert dataclasses.replace(TERMS, expr=expr).plain is plain
