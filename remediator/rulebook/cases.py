"""Cases beside the rules: given an alert's labels, which rules match, which target, which first rung."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from remediator.actions.parameters import did_you_mean
from remediator.core.match import RuleIndex
from remediator.model.rule import Rule, RuleSet
from remediator.rulebook.clue import clue_text
from remediator.rulebook.document import Document
from remediator.rulebook.faults import Fault
from remediator.rulebook.loaded import CaseResult
from remediator.rulebook.parse import Entry, lists_of, parse_entry
from remediator.rulebook.shapes import Name, Shape


class ExpectShape(Shape, title="Expectation"):
    """What a case expects."""

    rules: list[Name] = Field(description="The rules that match, in any order; [] where none may.")
    target: str | None = Field(
        default=None,
        min_length=1,
        description="Where the labels lead under the first rule listed: kind/namespace/name, or why nowhere.",
    )
    first_rung: str | None = Field(
        default=None, min_length=1, description="The action with which the first rule listed begins."
    )


class CaseShape(Shape, title="Case"):
    """One case: labels in, rules out."""

    name: str = Field(min_length=1, max_length=200, description="What the case shows.")
    labels: dict[str, str] = Field(min_length=1, max_length=64, description="The labels of the alert.")
    expect: ExpectShape = Field(description="What must come of it.")


class CaseFile(Shape, title="File of cases"):
    """A file of cases."""

    cases: list[CaseShape] = Field(min_length=1, max_length=2000, description="Each is tried on all rules.")


def parse_cases(document: Document) -> tuple[list[Entry[CaseShape]], list[Fault]]:
    """Return the cases of a document without faults, and the faults of the others."""
    lists, faults = lists_of(document, ("cases",))
    entries = [
        parse_entry(document, ("cases", number), raw, CaseShape) for number, raw in enumerate(lists.get("cases", []))
    ]
    for entry in entries:
        faults += entry.faults
    return [entry for entry in entries if not entry.faults], faults


def try_cases(entries: Iterable[Entry[CaseShape]], rules: RuleSet) -> tuple[CaseResult, ...]:
    """Try the cases on the rules, in order."""
    index = RuleIndex.build(rules.rules)
    known = {rule.name: rule for rule in rules.rules}
    results = []
    for entry in entries:
        case = entry.shape
        if case is not None:
            problem = _problem(case, index, known)
            results.append(CaseResult(name=case.name, place=entry.document.place(entry.path), problem=problem))
    return tuple(results)


def _problem(case: CaseShape, index: RuleIndex, known: dict[str, Rule]) -> str:
    """Return how the rules differ from what the case expects, or nothing."""
    expected = case.expect
    missing = [name for name in expected.rules if name not in known]
    if missing:
        return f"there is no rule '{missing[0]}'{did_you_mean(missing[0], known)}"
    matched = [rule.name for rule in index.matching(case.labels)]
    if sorted(matched) != sorted(expected.rules):
        return f"expected {_names(expected.rules)} to match, and {_names(matched)} did"
    if not expected.rules:
        told = expected.target or expected.first_rung
        return "'target' and 'first_rung' say nothing where no rule is expected; remove them" if told else ""
    rule = known[expected.rules[0]]
    found: tuple[tuple[str, Any, str], ...] = (
        ("target", expected.target, clue_text(case.labels, rule.target)),
        ("first_rung", expected.first_rung, rule.ladder[0].action),
    )
    for field, wanted, real in found:
        if wanted is not None and wanted != real:
            return f"expected {field} {wanted} of rule {rule.name}, and it is {real}"
    return ""


def _names(names: list[str]) -> str:
    return ", ".join(sorted(names)) if names else "no rule"
