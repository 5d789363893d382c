"""What comes of rule files without a fault."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.model.rule import RuleSet
from remediator.rulebook.faults import Fault, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """How a case went; ``problem`` is empty where the expectation holds."""

    name: str
    place: Place
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Rules without a fault, what is odd about them, and how their cases went (all of them well)."""

    rules: RuleSet
    warnings: tuple[Fault, ...]
    cases: tuple[CaseResult, ...]
