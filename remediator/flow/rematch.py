"""Match again: what fires when a rule appears or changes gets its candidate too.

Only an opening alert makes candidates, so a rule that an operator writes in the middle of an incident would never see
the alerts that it was written for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import structs

from remediator.flow.bells import Bells, Stage
from remediator.flow.parts import Parts
from remediator.model.rule import RuleSet
from remediator.model.signal import AlertState
from remediator.ports.matching import AlertKey, NewCandidate
from remediator.ports.observer import StageEvent

FIRST: AlertKey = ("", "")


@dataclass(slots=True)
class Rematch:
    """Remembers the rules that the firing alerts have been held against. Part of the match stage."""

    parts: Parts
    bells: Bells
    seen: RuleSet | None = field(default=None)

    async def step(self) -> None:
        """Hold what fires against the rules that are new or other than before; a failure is tried again."""
        current = self.parts.rulebook.current()
        if self.seen is not None and self.seen.digest != current.digest:
            names = changed(self.seen, current)
            if names:
                await self._match(names)
        self.seen = current

    async def _match(self, names: frozenset[str]) -> None:
        count = 0

        def judge(states: tuple[AlertState, ...]) -> tuple[NewCandidate, ...]:
            nonlocal count
            found = tuple(
                NewCandidate(
                    rule=rule.name,
                    source=state.source,
                    fingerprint=state.fingerprint,
                    labels=state.labels,
                    severity=rule.severity.value,
                    priority=rule.priority,
                )
                for state in states
                for rule in self.parts.rulebook.matching(state.labels)
                if rule.name in names
            )
            count += len(found)
            return found

        after: AlertKey | None = FIRST
        while after is not None:
            after = await self.parts.stores.matching.match_again(after, self.parts.bounds.match_batch, judge)
        if count:
            self.bells.ring(Stage.ASSESS)
            fields = {"rules": sorted(names)[:20]}
            self.parts.observer.tell(StageEvent(stage="match", outcome="again", count=count, fields=fields))


def changed(before: RuleSet, now: RuleSet) -> frozenset[str]:
    """Return the names of the rules that are new or say something else; where they stand does not count."""
    old = {rule.name: structs.replace(rule, place="") for rule in before.rules}
    return frozenset(rule.name for rule in now.rules if old.get(rule.name) != structs.replace(rule, place=""))
