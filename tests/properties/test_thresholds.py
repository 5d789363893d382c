"""Whatever Prometheus answers and whoever looks: no early fire, no end while unknown, no memory but the stored one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from remediator.core.thresholds import Key, States, Step, Terms, Turn, look
from remediator.model.measure import Answer, Phase, RowState, Sample, SeriesState, Unseen

T0 = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)
TERMS = Terms(
    row="cpu-usage",
    expr="x",
    warning=70,
    critical=85,
    for_s=60,
    recover_below=65,
    recover_for_s=30,
    unknown_after_s=120,
    gap_s=40,
)
LABELS = {"namespace": "backstage"}
VALUES = st.sampled_from([10.0, 64.0, 65.0, 69.0, 70.0, 75.0, 85.0, 90.0])
LOOKS = st.lists(
    st.tuples(
        st.sampled_from([5.0, 15.0, 20.0, 39.0, 41.0, 300.0]),
        st.one_of(VALUES, VALUES, VALUES, st.just(float("nan")), st.sampled_from([Unseen.TIMEOUT, Unseen.VANISHED])),
    ),
    max_size=40,
)
Look = tuple[float, "float | Unseen"]


@dataclass
class Run:
    """A row with one series, and everything that has turned."""

    row: RowState | None = None
    states: States | None = None
    seconds: float = 0.0
    kept: dict[str, bytes] = field(default_factory=dict)

    def look(self, passed: float, seen: float | Unseen) -> tuple[Step, ...]:
        """Look once more, so many seconds later."""
        self.seconds += passed
        answer = Answer(samples=(Sample(labels=LABELS, value=seen if isinstance(seen, float) else 0.0),))
        if seen is Unseen.VANISHED:
            answer = Answer(samples=(Sample(labels={"namespace": "other"}, value=1.0),))
        elif isinstance(seen, Unseen):
            answer = Answer(problem=seen)
        at = T0 + timedelta(seconds=self.seconds)
        found = look(self.row, self.states or {}, answer, TERMS, at, identify)
        self.row, self.states = found.row, found.states
        self.kept |= {one.fingerprint: msgspec.json.encode(one) for one in found.changed}
        for one in found.forgotten:
            del self.kept[one.fingerprint]
        return tuple(step for step in found.steps if step.state.labels == LABELS)

    def stored(self) -> Run:
        """Return the same as it comes back from the database."""
        row = msgspec.json.decode(msgspec.json.encode(self.row), type=RowState | None)
        states = {name: msgspec.json.decode(one, type=SeriesState) for name, one in self.kept.items()}
        return Run(row, states, self.seconds, dict(self.kept))

    @property
    def ours(self) -> SeriesState | None:
        """Return the state of the series."""
        return next((one for one in (self.states or {}).values() if one.labels == LABELS), None)


def identify(key: Key) -> SeriesState:
    """Return the first state of a series."""
    return SeriesState(row="cpu-usage", fingerprint=repr(key), labels=dict(key))


def breach_s(looks: list[Look]) -> float:
    """Return for how long, up to its end, a known breach has lasted: counted the simple way."""
    total, former = 0.0, False
    for passed, seen in looks:
        known = isinstance(seen, float) and seen == seen  # noqa: PLR0124 - not NaN
        over = known and isinstance(seen, float) and seen >= TERMS.warning
        if over and former and passed <= TERMS.gap_s:
            total += passed
        elif known and not over:
            total = 0.0
        former = over
    return total


@given(LOOKS)
def test_nothing_fires_before_its_time(looks: list[Look]) -> None:
    """Where it fires, a known breach has lasted for sixty seconds, with nothing known against it in between."""
    run = Run()
    for number, (passed, seen) in enumerate(looks):
        for step in run.look(passed, seen):
            if step.turn is Turn.FIRES:
                assert breach_s(looks[: number + 1]) >= TERMS.for_s


@given(LOOKS)
def test_nothing_turns_while_it_is_unknown(looks: list[Look]) -> None:
    """What is not seen neither begins nor ends, nor changes its level."""
    run = Run()
    for passed, seen in looks:
        before = run.ours
        steps = run.look(passed, seen)
        if isinstance(seen, Unseen) or seen != seen:  # noqa: PLR0124 - NaN
            assert {step.turn for step in steps} <= {Turn.LOST}
            after = run.ours
            assert after is None or before is None or (after.phase, after.level) == (before.phase, before.level)
            assert not (before and before.phase is Phase.FIRING and after is None)


@given(LOOKS, st.sets(st.integers(0, 39)))
def test_a_restart_changes_nothing(looks: list[Look], restarts: set[int]) -> None:
    """Only what a tick says is to be stored is remembered, wherever the process ends."""
    kept, other = Run(), Run()
    for number, (passed, seen) in enumerate(looks):
        if number in restarts:
            other = other.stored()
        assert [step.turn for step in kept.look(passed, seen)] == [step.turn for step in other.look(passed, seen)]
    assert kept.row == other.row
    assert kept.kept == other.kept


@given(LOOKS)
def test_it_ends_only_by_calm(looks: list[Look]) -> None:
    """The look that ends it saw it below the value of recovery, and so did the one before."""
    run = Run()
    seen_before: list[float] = []
    for passed, seen in looks:
        steps = run.look(passed, seen)
        if isinstance(seen, float) and seen == seen:  # noqa: PLR0124 - not NaN
            seen_before.append(seen)
        for step in steps:
            if step.turn is Turn.ENDS:
                assert max(seen_before[-2:]) < TERMS.recover_below
