"""Match again: what fires when a rule appears or changes gets its candidate too.

Only an opening alert makes candidates, so a rule that an operator writes in the middle of an incident would never see
the alerts that it was written for. That holds for a rule that comes with a restart of the daemon, too: what each rule
said when all that fires was last held against it is in the database, as a hash.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
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
AT_ONCE = 50
"""Rules that are hashed before others have their turn."""


@dataclass(slots=True)
class Rematch:
    """Remembers the rules that the firing alerts have been held against. Part of the match stage."""

    parts: Parts
    bells: Bells
    seen: str = field(default="", init=False)
    held: Mapping[str, str] | None = field(default=None, init=False)

    async def step(self) -> None:
        """Hold what fires against the rules that are new or other than before; a failure is tried again."""
        current, matching = self.parts.rulebook.current(), self.parts.stores.matching
        if self.held is not None and self.seen == current.digest:
            return
        now = await digests(current)
        before = await matching.rules_held() if self.held is None else self.held
        # Nothing is held in a new database, or in one of a version that kept no hashes: nothing is new to it.
        names = changed(before, now) if before else frozenset()
        if names:
            await self._match(names)
        if before != now:
            await matching.hold_rules(now)
        self.seen, self.held = current.digest, now

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


async def digests(rules: RuleSet) -> dict[str, str]:
    """Return a hash of what each rule says; where it stands does not count. Others have their turn between many."""
    found: dict[str, str] = {}
    for number, rule in enumerate(rules.rules):
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        found[rule.name] = _digest(structs.replace(rule, place=""))
    return found


def _digest(rule: Rule) -> str:
    return hashlib.sha256(msgspec.json.encode(_said(rule), order="sorted")).hexdigest()


def _said(value: Any) -> Any:
    """Return plain data without what has its default: a later version with a new field must not call all rules new."""
    if isinstance(value, msgspec.Struct):
        said: dict[str, Any] = {"": type(value).__name__}
        for name, default in _defaults(type(value)):
            found = getattr(value, name)
            if found != default:
                said[name] = _said(found)
        return said
    if isinstance(value, tuple | list):
        return [_said(one) for one in value]
    if isinstance(value, dict):
        return {key: _said(one) for key, one in value.items()}
    return msgspec.to_builtins(value)


@cache
def _defaults(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    return tuple((one.name, one.default) for one in structs.fields(kind))
