"""Match again: what fires when a rule appears or changes gets its candidate too.

Only an opening alert makes candidates, so a rule that an operator writes in the middle of an incident would never see
the alerts that it was written for. That holds for a rule that comes with a restart of the daemon, too: what each rule
said when all that fires was last held against it is in the database, as a hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import structs

from remediator.flow.bells import Bells, Stage
from remediator.flow.parts import Parts
from remediator.model.rule import Rule, RuleSet
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
        current, matching = self.parts.rulebook.current(), self.parts.stores.matching
        if self.seen is not None and self.seen.digest == current.digest:
            return
        now = digests(current)
        before = await matching.rules_held() if self.seen is None else digests(self.seen)
        # Nothing is held in a new database, or in one of a version that kept no hashes: nothing is new to it.
        names = changed(before, now) if before else frozenset()
        if names:
            await self._match(names)
        if before != now:
            await matching.hold_rules(now)
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


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the rules that are new or say something else."""
    return frozenset(name for name, digest in now.items() if before.get(name) != digest)


def digests(rules: RuleSet) -> dict[str, str]:
    """Return a hash of what each rule says; where it stands does not count."""
    return {rule.name: _digest(structs.replace(rule, place="")) for rule in rules.rules}


def _digest(rule: Rule) -> str:
    return hashlib.sha256(msgspec.json.encode(_said(rule), order="sorted")).hexdigest()


def _said(value: Any) -> Any:
    """Return plain data without what has its default: a later version with a new field must not call all rules new."""
    if isinstance(value, msgspec.Struct):
        fields = {one.name: (getattr(value, one.name), one.default) for one in structs.fields(value)}
        return {
            "": type(value).__name__,
            **{name: _said(found) for name, (found, default) in fields.items() if found != default},
        }
    if isinstance(value, tuple | list):
        return [_said(one) for one in value]
    if isinstance(value, dict):
        return {key: _said(one) for key, one in value.items()}
    return msgspec.to_builtins(value)
