"""The kill switch: somebody has said that nothing may be changed, everywhere or somewhere."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from remediator.model.target import Target


class PauseScope(StrEnum):
    """What a pause stops."""

    GLOBAL = "global"
    NAMESPACE = "namespace"
    RULE = "rule"
    TARGET = "target"


class Pause(Struct, frozen=True, kw_only=True):
    """Nothing is changed within a scope until it is lifted or ``until`` has come (None: until it is lifted).

    ``key`` is the namespace, the rule's name or the target's key; empty for the whole of what remediator works on.
    ``number`` is its short name for people; 0 for the one that a file on the replica's machine makes.
    """

    number: int
    scope: PauseScope
    key: str = ""
    reason: str
    actor: str
    since: datetime
    until: datetime | None = None

    def stops(self, target: Target, rule: str, now: datetime) -> bool:
        """Tell whether the pause forbids the rule to change the target at ``now``."""
        if self.until is not None and now >= self.until:
            return False
        match self.scope:
            case PauseScope.GLOBAL:
                return True
            case PauseScope.NAMESPACE:
                return self.key == target.namespace
            case PauseScope.RULE:
                return self.key == rule
            case PauseScope.TARGET:
                return self.key == target.key

    def __str__(self) -> str:
        """Return ``everything``, ``namespace backstage``, ``rule x`` or ``target deployment/ns/x``."""
        return "everything" if self.scope is PauseScope.GLOBAL else f"{self.scope} {self.key}"
