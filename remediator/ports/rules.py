"""The rules in force."""

from __future__ import annotations

from typing import Protocol

from remediator.model.rule import Rule, RuleSet


class Rulebook(Protocol):
    """Holds the last good rule set; it may be replaced between two calls, never within one."""

    def current(self) -> RuleSet:
        """Return the rule set in force."""
        ...

    def named(self, name: str) -> Rule | None:
        """Return the rule of that name, or None."""
        ...

    def matching(self, labels: dict[str, str]) -> tuple[Rule, ...]:
        """Return the rules whose matchers all hold, in file order; rules that cannot match cost nothing."""
        ...
