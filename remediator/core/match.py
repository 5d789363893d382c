"""Which rules does a signal match? Alertmanager's matchers, over an index.

The index asks for each label of the signal which rules want exactly that value. A rule is kept under the most selective
of its conditions that can be written out (``=``, or ``=~`` over a list of words); rules without one stand in a residue
that every signal has to be compared with, and the linter says so. So a rule that wants other values costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from remediator.core.regex import BadRegex, Check, compile_anchored, words
from remediator.model.errors import InvariantBroken
from remediator.model.rule import Matcher, MatchOp, Rule
from remediator.model.signal import Labels

NEVER_ACTED_ON = "none"
"""The ``severity`` of alerts that only prove that alerting works (Watchdog, InfoInhibitor): no rule matches them."""

SMALL = 4
"""Up to how many rules are compared one by one rather than indexed once more."""
DEEPEST = 4
"""How many labels deep the index goes."""

_Condition = tuple[str, frozenset[str]]


def check_of(matcher: Matcher) -> Check:
    """Return the check of one label value (``""`` for a missing label); raise BadRegex."""
    value = matcher.value
    if matcher.op is MatchOp.EQUAL:
        return lambda text: text == value
    if matcher.op is MatchOp.NOT_EQUAL:
        return lambda text: text != value
    check = compile_anchored(value)
    if matcher.op is MatchOp.REGEX:
        return check
    return lambda text: not check(text)


def wanted_values(matcher: Matcher) -> frozenset[str] | None:
    """Return the only values that the matcher accepts, or None where they cannot be written out."""
    if matcher.op is MatchOp.EQUAL:
        return frozenset({matcher.value})
    if matcher.op is MatchOp.REGEX:
        return words(matcher.value)
    return None


def indexable(rule: Rule) -> bool:
    """Tell whether the index can find the rule, so that signals it cannot match do not have to look at it."""
    return bool(_conditions(rule))


def needs_a_label(matchers: Iterable[Matcher]) -> bool:
    """Tell whether at least one matcher fails on a missing label: otherwise the rule would match what says nothing."""
    return any(not check_of(matcher)("") for matcher in matchers)


class RuleIndex:
    """Rules, ready to be asked. Immutable; a reload builds another."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        """Index ``rules``; raise BadRegex."""
        self._rules = rules
        self._checks = tuple(tuple((matcher.label, check_of(matcher)) for matcher in rule.match) for rule in rules)
        entries = [_Entry(position, _conditions(rule)) for position, rule in enumerate(rules) if rule.match]
        self._root = _node(entries, DEEPEST)

    @classmethod
    def build(cls, rules: tuple[Rule, ...]) -> RuleIndex:
        """Index ``rules``. The loader lets no bad expression in; one that is here all the same is a bug."""
        try:
            return cls(rules)
        except BadRegex as error:
            raise InvariantBroken(f"a rule with a bad matcher is in force: {error}") from error

    def matching(self, labels: Labels) -> tuple[Rule, ...]:
        """Return the rules whose matchers all hold, in file order. A rule without matchers matches nothing."""
        if labels.get("severity") == NEVER_ACTED_ON:
            return ()
        found = [position for position in self._root.candidates(labels) if self._holds(position, labels)]
        found.sort()
        return tuple(self._rules[position] for position in found)

    def compared(self, labels: Labels) -> int:
        """Return with how many rules these labels have to be compared: what the index is measured by."""
        return len(self._root.candidates(labels))

    def _holds(self, position: int, labels: Labels) -> bool:
        return all(check(labels.get(label, "")) for label, check in self._checks[position])


@dataclass(frozen=True, slots=True)
class _Entry:
    """A rule's position, and what it wants of labels that the index has not asked about yet."""

    position: int
    conditions: tuple[_Condition, ...]


@dataclass(frozen=True, slots=True)
class _Node:
    """``residue``: rules to compare with whatever comes. ``children``: by label and value, what else may match."""

    residue: tuple[int, ...]
    children: dict[tuple[str, str], _Node] = field(default_factory=dict)

    def candidates(self, labels: Labels) -> list[int]:
        """Return the positions of the rules that may match; each once, for a node keeps a rule under one label."""
        found = list(self.residue)
        if self.children:
            for item in labels.items():
                child = self.children.get(item)
                if child is not None:
                    found += child.candidates(labels)
        return found


def _conditions(rule: Rule) -> tuple[_Condition, ...]:
    """Return the labels whose wanted values are known. An empty value also means a missing label: no way to look up."""
    wanted = ((matcher.label, wanted_values(matcher)) for matcher in rule.match)
    return tuple((label, values) for label, values in wanted if values is not None and "" not in values)


def _node(entries: list[_Entry], depth: int) -> _Node:
    """Index rules by the most selective condition of each, and crowded groups by a further one."""
    wanting = Counter((label, value) for entry in entries for label, values in entry.conditions for value in values)
    residue: list[int] = []
    groups: dict[tuple[str, str], list[_Entry]] = {}
    for entry in entries:
        if not entry.conditions:
            residue.append(entry.position)
            continue
        label, values = min(entry.conditions, key=lambda condition: _crowd(condition, wanting))
        rest = tuple(condition for condition in entry.conditions if condition[0] != label)
        for value in values:
            groups.setdefault((label, value), []).append(_Entry(entry.position, rest))
    return _Node(tuple(residue), {key: _group(group, depth - 1) for key, group in groups.items()})


def _group(entries: list[_Entry], depth: int) -> _Node:
    """Index the rules that agree on one label, if they are enough to be worth it."""
    if len(entries) <= SMALL or depth == 0:
        return _Node(tuple(entry.position for entry in entries))
    return _node(entries, depth)


def _crowd(condition: _Condition, wanting: Counter[tuple[str, str]]) -> int:
    """Return how many rules stand at the most crowded of the values: the lower, the more selective."""
    label, values = condition
    return max(wanting[label, value] for value in values)
