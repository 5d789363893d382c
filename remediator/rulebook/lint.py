"""Rules that are valid, and still not what their author can have meant. Warnings, never a reason not to load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from remediator.actions.catalogue import ACTIONS
from remediator.core.match import NEVER_ACTED_ON, check_of, indexable, wanted_values
from remediator.core.regex import words
from remediator.model.rule import MatchOp, Rule, Severity
from remediator.rulebook.duration import duration_text
from remediator.rulebook.faults import Fault
from remediator.rulebook.measures import source_warnings
from remediator.rulebook.parse import Entry

SHORT_COOLDOWN_S = 60
"""A cooldown shorter than this does not outlast a rollout."""


def warnings_of(entry: Entry[Any], rule: Rule) -> Iterator[Fault]:
    """Return what is odd about one rule."""
    yield from _cooldown(entry, rule)
    yield from _index(entry, rule)
    yield from _unreachable(entry, rule)
    yield from _expressions(entry, rule)
    yield from _ladder(entry, rule)
    if rule.threshold is not None:
        yield from source_warnings(entry, rule.threshold)


def _cooldown(entry: Entry[Any], rule: Rule) -> Iterator[Fault]:
    changing = [rung.action for rung in rule.ladder if ACTIONS[rung.action].changes]
    if changing and rule.limits.cooldown_s < SHORT_COOLDOWN_S:
        stated = duration_text(rule.limits.cooldown_s)
        yield entry.fault(
            f"'{changing[0]}' may come again after {stated}, before its effect can be seen; give it 10m",
            "limits",
            "cooldown",
        )


def _index(entry: Entry[Any], rule: Rule) -> Iterator[Fault]:
    if not indexable(rule):
        yield entry.fault(
            "no matcher lists the values it wants, so every alert has to be compared with this rule;"
            ' add one like alertname=~"A|B"',
            "match",
        )


def _unreachable(entry: Entry[Any], rule: Rule) -> Iterator[Fault]:
    for label in dict.fromkeys(matcher.label for matcher in rule.match):
        matchers = [matcher for matcher in rule.match if matcher.label == label]
        listed = [values for values in map(wanted_values, matchers) if values is not None]
        if not listed:
            continue
        checks = [check_of(matcher) for matcher in matchers]
        possible = {value for value in listed[0] if all(check(value) for check in checks)}
        if label == "severity":
            possible.discard(NEVER_ACTED_ON)
        if not possible:
            yield entry.fault(
                f"the matchers on '{label}' cannot all hold: this rule never matches; correct them", "match"
            )


def _expressions(entry: Entry[Any], rule: Rule) -> Iterator[Fault]:
    for matcher in rule.match:
        if matcher.op not in {MatchOp.REGEX, MatchOp.NOT_REGEX}:
            continue
        if matcher.value.startswith("^") or matcher.value.endswith("$"):
            yield entry.fault(f"{matcher}: expressions are anchored at both ends already; remove '^' and '$'", "match")
        found = words(matcher.value)
        if found is not None and len(found) == 1:
            plain = "=" if matcher.op is MatchOp.REGEX else "!="
            yield entry.fault(f"{matcher} is no expression but one value; write '{plain}'", "match")


def _ladder(entry: Entry[Any], rule: Rule) -> Iterator[Fault]:
    if rule.severity is Severity.P1 and rule.ladder[-1].action != "notify":
        yield entry.fault("a P1 rule should end by telling people; add 'notify' at the end of the ladder", "ladder")
    for number, (before, rung) in enumerate(zip(rule.ladder, rule.ladder[1:], strict=False), start=1):
        if before == rung:
            yield entry.fault(
                f"'{rung.action}' again, right after itself, will not help more; remove it", "ladder", number
            )
