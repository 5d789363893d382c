"""Match: signals leave the inbox, change their alerts, and become candidates under the rules that match them."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import structs

from remediator.core.record import transition_entry
from remediator.core.signals import BEGINS, Change, Transition, fold
from remediator.flow.assess import Ahead, Assess
from remediator.flow.bells import Bells, Stage
from remediator.flow.parts import Parts
from remediator.flow.rematch import Rematch
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.rule import Rule
from remediator.model.signal import AlertState, StoredSignal
from remediator.ports.matching import AlertKey, Matched, MatchReport, NewCandidate
from remediator.ports.observer import StageEvent
from remediator.ports.rules import Rulebook


@dataclass(frozen=True, slots=True)
class Match:
    """The stage. ``again`` looks after alerts that fire already when the rules change.

    Where ``assess`` has room, it begins to read for new candidates while they are being stored. They belong to this
    replica from the start, as if it had taken them, by the same lease.
    """

    parts: Parts
    bells: Bells
    again: Rematch
    assess: Assess

    async def step(self) -> int:
        """Match one batch; return how many signals there were."""
        await self.again.step()
        batch: list[Matched] = []
        ahead: list[Ahead] = []

        def judge(signals: tuple[StoredSignal, ...], states: dict[AlertKey, AlertState]) -> Matched:
            # Asked again where what came of it could not be stored: then what was read ahead is nobody's.
            for former in ahead:
                former.settle(())
            ahead.clear()
            made = matched(fold(signals, states), self.parts.rulebook)
            reads = self.assess.read_ahead(made.candidates)
            if reads is not None:
                ahead.append(reads)
                made = structs.replace(made, lease_s=self.parts.bounds.candidate_lease_s)
            batch.append(made)
            return made

        report = MatchReport()
        try:
            report = await self.parts.stores.matching.match(self.parts.bounds.match_batch, judge)
        finally:
            for reads in ahead:
                reads.settle(report.leased)
        if report.busy:
            self.bells.ring(Stage.MATCH)
        if report.count and batch:
            self._tell(batch[-1], report.count)
        return report.count

    def _tell(self, made: Matched, count: int) -> None:
        tell = self.parts.observer.tell
        tell(StageEvent(stage="match", outcome="signals", count=count))
        if made.candidates:
            tell(StageEvent(stage="match", outcome="candidates", count=len(made.candidates)))
            if not made.lease_s:
                self.bells.ring(Stage.ASSESS)
        if made.resolved:
            self.bells.ring(Stage.VERIFY, Stage.CLOSE)
        if any(entry.kind is EntryKind.SIGNAL_LATE for entry in made.entries):
            self.bells.doubt()
        unmatched = sum(1 for entry in made.entries if entry.reasons)
        if unmatched:
            tell(StageEvent(stage="match", outcome="unmatched", count=unmatched))


def matched(steps: tuple[Transition, ...], rulebook: Rulebook) -> Matched:
    """Turn judged signals into what the transaction writes; pure, given the rule set in force."""
    states: dict[AlertKey, AlertState] = {}
    candidates: dict[tuple[str, str, str], NewCandidate] = {}
    entries: list[NewEntry] = []
    resolved: dict[AlertKey, None] = {}
    for step in steps:
        key = (step.state.source, step.state.fingerprint)
        states[key] = step.state
        rules = _asked(step, rulebook)
        entry = transition_entry(step, len(rules))
        if entry is not None:
            entries.append(entry)
        for rule in rules:
            candidates[(*key, rule.name)] = _candidate(step, rule)
        if step.change is Change.RESOLVED:
            resolved[key] = None
    return Matched(
        states=tuple(states.values()),
        candidates=tuple(candidates.values()),
        entries=tuple(entries),
        resolved=tuple(resolved),
    )


def _asked(step: Transition, rulebook: Rulebook) -> tuple[Rule, ...]:
    """Return the rules that have to decide: of an alert whose level has changed, those that did not match it before."""
    if step.change in BEGINS:
        return rulebook.matching(step.stored.signal.labels)
    if step.change is not Change.CHANGED:
        return ()
    known = {rule.name for rule in rulebook.matching(step.before)}
    return tuple(rule for rule in rulebook.matching(step.stored.signal.labels) if rule.name not in known)


def _candidate(step: Transition, rule: Rule) -> NewCandidate:
    signal = step.stored.signal
    return NewCandidate(
        rule=rule.name,
        source=signal.source,
        fingerprint=signal.fingerprint,
        labels=signal.labels,
        severity=rule.severity.value,
        priority=rule.priority,
    )
