"""Rule files to one rule set, or every fault of all of them: all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from remediator.model.freeze import Freeze
from remediator.model.rule import Rule, RuleSet
from remediator.rulebook.build import build_rule, build_threshold, faults_between_fields
from remediator.rulebook.cases import CaseShape, parse_cases, try_cases
from remediator.rulebook.document import Document, read_document
from remediator.rulebook.faults import Fault, Place, RulebookRejected
from remediator.rulebook.freezes import LIST, FreezeShape, freezes_of
from remediator.rulebook.lint import warnings_of
from remediator.rulebook.loaded import Loaded
from remediator.rulebook.parse import Entry, lists_of, parse_entry
from remediator.rulebook.shapes import RuleShape, ThresholdShape
from remediator.rulebook.sources import Source, digest_of, read_sources

MOST_RULES = 20_000
"""Rules of all files together."""

S = TypeVar("S", bound=BaseModel)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Draft:
    """An entry of a file; ``rule`` is None where it has faults."""

    entry: Entry[Any]
    rule: Rule | None

    @property
    def place(self) -> Place:
        """Return where the entry begins."""
        return self.entry.document.place(self.entry.path)


def load(paths: Sequence[Path]) -> Loaded:
    """Load the files and directories named; raise RulebookRejected with every fault of every file."""
    sources, faults = read_sources(paths)
    return assemble(sources, faults)


def assemble(sources: Sequence[Source], unread: Iterable[Fault] = ()) -> Loaded:
    """Make one rule set of what was read; raise RulebookRejected. ``unread``: what could not be read."""
    faults = list(unread)
    drafts: list[_Draft] = []
    cases: list[Entry[CaseShape]] = []
    frozen: list[tuple[Entry[FreezeShape], Freeze]] = []
    for source in sources:
        document, found = read_document(source.raw, source.file)
        faults += found
        if document is not None and source.is_cases:
            cases += _with_faults(parse_cases(document), faults)
        elif document is not None:
            lists, wrong = lists_of(document, ("rules", "thresholds", LIST))
            faults += wrong
            drafts += _with_faults(_drafts(document, lists), faults)
            frozen += _with_faults(freezes_of(document, lists.get(LIST, [])), faults)
    faults += _same_names("rule", (draft.entry for draft in drafts))
    faults += _same_names("freeze", (entry for entry, _ in frozen))
    if len(drafts) > MOST_RULES:
        message = f"there are {len(drafts)} rules in all; at most {MOST_RULES} are loaded, remove some"
        faults.append(Fault(drafts[MOST_RULES].place, message))
    if faults:
        # Cases are not tried on a part of the rules: they would fail for what is missing.
        raise RulebookRejected(faults)
    return _tried(sources, drafts, tuple(freeze for _, freeze in frozen), cases)


def _tried(
    sources: Sequence[Source], drafts: list[_Draft], freezes: tuple[Freeze, ...], cases: list[Entry[CaseShape]]
) -> Loaded:
    """Return the rules of drafts without faults, if all cases hold; raise RulebookRejected otherwise."""
    built = [(draft.entry, draft.rule) for draft in drafts if draft.rule is not None]
    rules = RuleSet(rules=tuple(rule for _, rule in built), digest=digest_of(sources), freezes=freezes)
    results = try_cases(cases, rules)
    failed = [Fault(result.place, f"case '{result.name}': {result.problem}") for result in results if result.problem]
    if failed:
        raise RulebookRejected(failed)
    warnings = {warning for entry, rule in built for warning in warnings_of(entry, rule)}
    return Loaded(rules=rules, warnings=tuple(sorted(warnings)), cases=results)


def _with_faults(parsed: tuple[list[T], list[Fault]], faults: list[Fault]) -> list[T]:
    """Return what was parsed, after its faults were added to the others."""
    found, more = parsed
    faults += more
    return found


def _drafts(document: Document, lists: dict[str, list[Any]]) -> tuple[list[_Draft], list[Fault]]:
    """Return the rules of a file in the order in which they stand there, and what is wrong with them."""
    faults: list[Fault] = []
    drafts: list[_Draft] = []
    for number, raw in enumerate(lists.get("rules", [])):
        rule = parse_entry(document, ("rules", number), raw, RuleShape)
        drafts.append(_draft(rule, build_rule, faults))
    for number, raw in enumerate(lists.get("thresholds", [])):
        row = parse_entry(document, ("thresholds", number), raw, ThresholdShape)
        drafts.append(_draft(row, build_threshold, faults))
    return sorted(drafts, key=lambda draft: draft.place), faults


def _draft(entry: Entry[S], build: Callable[[Entry[S], S], Rule], faults: list[Fault]) -> _Draft:
    found = (*entry.faults, *faults_between_fields(entry))
    faults += found
    rule = build(entry, entry.shape) if entry.shape is not None and not found else None
    return _Draft(entry, rule)


def _same_names(what: str, entries: Iterable[Entry[Any]]) -> Iterator[Fault]:
    """Find names that are taken twice, whether or not the entries are good otherwise; each is named with the first."""
    first: dict[str, Place] = {}
    for entry in entries:
        name = entry.values.get("name")
        if name is None:
            continue
        if name in first:
            message = f"the name '{name}' is taken by the {what} at {first[name]}; rename one of them"
            yield entry.fault(message, "name")
        else:
            first[name] = entry.document.place((*entry.path, "name"))
