"""Poll: Prometheus is asked for every row of the threshold table, and what has turned goes into the inbox.

One replica does it. A tick has one moment for which all rows are asked, and one transaction in which the states of the
series and the signals are stored together; whatever ends in between, the next tick begins where the last one ended.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from remediator.core import threshold_news as news
from remediator.core import vital_signs
from remediator.core.thresholds import Key, RowLook, Terms, Turn, look, terms_of
from remediator.flow.bells import Bells, Stage
from remediator.flow.choosing import Choice
from remediator.flow.measuring import LEASE_S, Watch
from remediator.flow.parts import Parts
from remediator.model.measure import Answer, Level, RowState, SeriesState, Unseen
from remediator.model.rule import Rule
from remediator.model.signal import Signal
from remediator.ports.measuring import Held, Message, PollTurn, Query, Tick
from remediator.ports.observer import StageEvent
from remediator.ports.rules import Rulebook

MOST_NAMED = 10


@dataclass(slots=True)
class Memory:
    """How everything stood after the tick of that number: good as long as no other replica has had a turn."""

    turn: int
    rows: dict[str, RowState]
    states: dict[str, dict[str, SeriesState]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """How many series of a row have turned in one way, the first of them, and some of their names."""

    turn: Turn
    count: int
    first: SeriesState
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A row, what a look at it came to, and the signals that follow."""

    look: RowLook
    signals: tuple[Signal, ...]
    turned: tuple[Turned, ...]


@dataclass(slots=True)
class Family:
    """Which series are a row's own, remembered as long as the rules stay: only what is new has to be looked at."""

    rule: Rule
    terms: Terms
    rulebook: Rulebook
    watch: Watch
    choice: Choice
    known: dict[Key, SeriesState | None] = field(default_factory=dict)

    def identify(self, key: Key) -> SeriesState | None:
        """Return the first state of a series; None: the row's rule would not take its alert."""
        if key not in self.known:
            self.known[key] = self._first(key)
        return self.known[key]

    def _first(self, key: Key) -> SeriesState | None:
        fingerprint, labels = self.watch.read_labels(news.identity(key, self.rule.name))
        nameless = bool(self.terms.needs) and not labels.get(self.terms.needs)
        if not nameless and not any(self._takes({**labels, news.SEVERITY: level.value}) for level in Level):
            return None
        return SeriesState(row=self.rule.name, fingerprint=fingerprint, labels=labels)

    def _takes(self, labels: dict[str, str]) -> bool:
        return any(rule.name == self.rule.name for rule in self.rulebook.matching(labels))

    def judge(self, before: RowState | None, states: dict[str, SeriesState], answer: Answer, at: datetime) -> Seen:
        """Judge one answer; run beside the event loop."""
        found = look(before, states, answer, self.terms, at, self.identify)
        if len(self.known) > 2 * len(found.states) + 1000:
            self.known.clear()
        unit = self.rule.threshold.unit if self.rule.threshold else ""
        return Seen(look=found, signals=news.signals(found, self.terms, unit, at), turned=tuple(_turned(found)))


@dataclass(slots=True)
class Poll:
    """The stage. ``polling``: this replica is the poller."""

    parts: Parts
    bells: Bells
    watch: Watch
    polling: bool = False
    _memory: Memory | None = None
    _families: dict[str, Family] = field(default_factory=dict)
    _digest: str = ""

    async def step(self) -> int:
        """Tick, if it is our turn; return 0, for nothing more can be found at once."""
        turn = await self.watch.store.take(self.parts.owner, LEASE_S, self.watch.interval_s)
        if turn is None and self.polling:
            self._tell("rests")
        self.polling = turn is not None
        if turn is not None and turn.due:
            began = self.parts.clock.monotonic()
            seen = await self._tick(turn)
            if seen is not None:
                self._tell_tick(seen, self.parts.clock.monotonic() - began)
        return 0

    async def _tick(self, turn: PollTurn) -> Sequence[Seen] | None:
        before = await self._before(turn)
        # Until the tick is stored, nobody knows where the next one begins.
        self._memory = None
        self._read_rules()
        seen = await self._ask(before, turn.now)
        looks = [one.look for one in seen]
        gone = tuple(sorted((before.rows.keys() | before.states.keys()) - self._families.keys()))
        ends = [end for name in gone for end in news.retired(before.states.get(name, {}).values(), turn.now)]
        tick = _tick_of(seen, gone, ends, turn.now)
        if not await self.watch.store.commit(self.parts.owner, turn, tick):
            self._tell("overtaken")
            return None
        self._memory = Memory(
            turn=turn.number,
            rows={one.row.row: one.row for one in looks},
            states={one.row.row: dict(one.states) for one in looks},
        )
        if tick.signals:
            self.bells.ring(Stage.MATCH)
        if tick.message is not None:
            self.bells.ring(Stage.NOTIFY)
            self._tell("calls", detail=tick.message.text)
        self._tell_rows(before, looks)
        return seen

    async def _before(self, turn: PollTurn) -> Memory:
        if self._memory is not None and self._memory.turn == turn.number - 1:
            return self._memory
        return _memory(await self.watch.store.load(), turn.number - 1)

    def _read_rules(self) -> None:
        rules = self.parts.rulebook.current()
        if rules.digest == self._digest:
            return
        self._digest = rules.digest
        self._families = {}
        for rule in rules.rules:
            terms = terms_of(rule, unknown_after_s=self.watch.unknown_after_s, gap_s=self.watch.gap_s)
            if terms is not None and rule.threshold is not None:
                choice = Choice(rule.threshold, self.watch.unknown_after_s)
                self._families[rule.name] = Family(rule, terms, self.parts.rulebook, self.watch, choice)

    async def _ask(self, before: Memory, at: datetime) -> list[Seen]:
        """Ask for all rows at once, for the same moment; what they say counts if Prometheus is to be believed."""
        settle_s, families = self.watch.settle_s, list(self._families.values())
        if not families:
            return []

        def judge_signs(answer: Answer) -> Answer | None:
            return vital_signs.problem(answer, at, settle_s)

        signs = Query(expr=vital_signs.expression(settle_s), at=at)
        async with asyncio.TaskGroup() as asking:
            signed = asking.create_task(self.watch.prometheus.ask(signs, judge_signs), name="ask-signs")
            tasks = [asking.create_task(self._row(one, before, at), name="ask-row") for one in families]
        blind = signed.result()
        if blind is None:
            return [task.result() for task in tasks]
        return [one.judge(*_standing(before, one), blind, at) for one in families]

    async def _row(self, family: Family, before: Memory, at: datetime) -> Seen:
        try:
            async with asyncio.timeout(self.watch.ask_s):
                return await self._measure(family, before, at)
        except TimeoutError:
            late = Answer(problem=Unseen.TIMEOUT, detail=f"no answers within {self.watch.ask_s:g} s")
            return family.judge(*_standing(before, family), late, at)

    async def _measure(self, family: Family, before: Memory, at: datetime) -> Seen:
        row, states = _standing(before, family)
        if not family.choice.stands(row, at):
            blind = await self._choose(family, at)
            if blind is not None:
                return family.judge(row, states, blind, at)
        query = Query(expr=family.terms.expr, at=at, dated=family.terms.plain)
        return await self.watch.prometheus.ask(query, lambda answer: family.judge(row, states, answer, at))

    async def _choose(self, family: Family, at: datetime) -> Answer | None:
        """Find out by which of its sources a row can be measured; return why it cannot be, or None."""
        before = family.choice.source
        blind = await family.choice.make(self.watch.prometheus, at)
        after = family.choice.source
        if after is not None and after != before:
            family.terms = replace(family.terms, expr=after.expr)
            self._tell("measured_by", row=family.rule.name, source=after.name)
        return blind

    def _tell_tick(self, seen: Sequence[Seen], seconds: float) -> None:
        tally: Counter[str] = Counter()
        for one in seen:
            tally.update(one.look.tally)
        unknown = [one.look.row.row for one in seen if one.look.row.unknown_since is not None]
        fields = {**tally, "rows": len(seen), "rows_unknown": unknown}
        self.parts.observer.tell(StageEvent(stage="poll", outcome="polled", seconds=seconds, fields=fields))
        for one in seen:
            for turned in one.turned:
                self._tell_turn(one.look.row.row, turned)

    def _tell_turn(self, row: str, turned: Turned) -> None:
        first = turned.first
        fields: dict[str, object] = {"row": row, "series": list(turned.names), "value": first.value}
        if first.level is not None:
            fields["severity"] = first.level.value
        if first.unknown_why:
            fields["why"] = first.unknown_why
        event = StageEvent(stage="poll", outcome=turned.turn.value, count=turned.count, fields=fields)
        self.parts.observer.tell(event)

    def _tell_rows(self, before: Memory, looks: Sequence[RowLook]) -> None:
        """Tell which row has begun or ceased to be unknown, once each time."""
        for one in looks:
            former = before.rows.get(one.row.row)
            was, now = former is not None and former.unknown_since is not None, one.row.unknown_since is not None
            if now and not was:
                self._tell("row_unknown", row=one.row.row, why=one.row.unknown_why, series=len(one.states))
            elif was and not now:
                self._tell("row_known", row=one.row.row, series=len(one.states))

    def _tell(self, outcome: str, **fields: object) -> None:
        self.parts.observer.tell(StageEvent(stage="poll", outcome=outcome, fields=dict(fields)))


def _turned(look: RowLook) -> Iterator[Turned]:
    for turn in Turn:
        states = [step.state for step in look.steps if step.turn is turn]
        if states:
            names = tuple(news.name_of(state.labels) for state in states[:MOST_NAMED])
            yield Turned(turn=turn, count=len(states), first=states[0], names=names)


def _memory(held: Held, turn: int) -> Memory:
    states: dict[str, dict[str, SeriesState]] = {}
    for one in held.series:
        states.setdefault(one.row, {})[one.fingerprint] = one
    return Memory(turn=turn, rows={one.row: one for one in held.rows}, states=states)


def _standing(before: Memory, family: Family) -> tuple[RowState | None, dict[str, SeriesState]]:
    name = family.rule.name
    return before.rows.get(name), before.states.get(name, {})


def _tick_of(seen: Sequence[Seen], gone: tuple[str, ...], ends: Sequence[Signal], at: datetime) -> Tick:
    looks = [one.look for one in seen]
    called = news.call(looks, at)
    return Tick(
        rows=tuple(one.row for one in looks),
        changed=tuple(state for one in looks for state in one.changed),
        forgotten=tuple(state for one in looks for state in one.forgotten),
        retired=gone,
        signals=(*(signal for one in seen for signal in one.signals), *ends),
        entries=news.entries(looks, at),
        message=Message(text=called.message, urgent=called.urgent) if called is not None else None,
    )
