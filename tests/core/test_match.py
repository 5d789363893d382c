"""Matching: Alertmanager's semantics, an index that changes nothing but the cost, and texts that cannot hang it."""

from __future__ import annotations

import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from remediator.core.match import NEVER_ACTED_ON, RuleIndex, check_of, indexable, needs_a_label, wanted_values
from remediator.core.regex import MOST_WORDS, BadRegex, compile_anchored, words
from remediator.model.errors import InvariantBroken
from remediator.model.rule import Matcher, MatchOp, Rule, Rung, Severity, TargetSpec
from remediator.model.target import Kind


def matcher(label: str, op: str, value: str) -> Matcher:
    """Return a matcher."""
    return Matcher(label=label, op=MatchOp(op), value=value)


def rule(name: str, *matchers: Matcher) -> Rule:
    """Return a rule that differs from others by its name and matchers only."""
    return Rule(
        name=name,
        match=matchers,
        severity=Severity.P3,
        target=TargetSpec(namespaces=("backstage",), kinds=(Kind.DEPLOYMENT,)),
        ladder=(Rung(action="investigate", parameters={}),),
    )


def names(rules: tuple[Rule, ...]) -> list[str]:
    """Return the names, in order."""
    return [item.name for item in rules]


@pytest.mark.parametrize(
    ("op", "value", "label", "holds"),
    [
        ("=", "a", "a", True),
        ("=", "a", "ab", False),
        ("=", "", "", True),
        ("!=", "a", "b", True),
        ("!=", "a", "a", False),
        ("!=", "a", "", True),
        ("=~", "a|b", "b", True),
        ("=~", "a|b", "ab", False),
        ("=~", "a|bc", "abc", False),
        ("=~", "a.*", "abc", True),
        ("=~", ".*", "", True),
        ("=~", ".+", "", False),
        ("=~", "a.c", "a\nc", False),
        ("=~", "a$", "a\n", False),
        ("=~", "(?i)warning", "WARNING", True),
        ("=~", r"\d+", "٣", False),
        ("=~", r"\pL+", "é", True),
        ("!~", "a|b", "c", True),
        ("!~", "a|b", "a", False),
        ("!~", "a.*", "ba", True),
    ],
)
def test_operators(op: str, value: str, label: str, *, holds: bool) -> None:
    """Each operator does what Alertmanager's does: anchored at both ends, Go's dialect, missing counts as empty."""
    assert check_of(matcher("x", op, value))(label) is holds


def test_missing_label_is_empty() -> None:
    """A label that is not there and a label that is empty are the same."""
    index = RuleIndex.build((rule("both", matcher("alertname", "=", "A"), matcher("team", "=", "")),))
    assert names(index.matching({"alertname": "A"})) == ["both"]
    assert names(index.matching({"alertname": "A", "team": ""})) == ["both"]
    assert names(index.matching({"alertname": "A", "team": "x"})) == []


def test_file_order() -> None:
    """Rules come in file order, however they are indexed."""
    index = RuleIndex.build(
        (
            rule("residue", matcher("alertname", "=~", "A.*")),
            rule("namespace", matcher("namespace", "=", "n")),
            rule("alert", matcher("alertname", "=", "A")),
            rule("list", matcher("alertname", "=~", "A|B")),
        )
    )
    assert names(index.matching({"namespace": "n", "alertname": "A"})) == ["residue", "namespace", "alert", "list"]
    assert names(index.matching({"alertname": "B"})) == ["list"]


def test_severity_none_is_never_acted_on() -> None:
    """Watchdog and InfoInhibitor say that alerting works: they match no rule, whatever the rules say."""
    index = RuleIndex.build((rule("all", matcher("alertname", "=~", ".+")),))
    assert names(index.matching({"alertname": "Watchdog", "severity": "warning"})) == ["all"]
    assert index.matching({"alertname": "Watchdog", "severity": NEVER_ACTED_ON}) == ()


def test_rule_without_matchers() -> None:
    """Empty selects nothing."""
    assert RuleIndex.build((rule("empty"),)).matching({"alertname": "A"}) == ()


def test_bad_expression_in_force_is_a_bug() -> None:
    """The loader refuses bad expressions; the index does not paper over one that comes all the same."""
    with pytest.raises(InvariantBroken, match="bad matcher"):
        RuleIndex.build((rule("bad", matcher("a", "=~", "(")),))


def test_indexable() -> None:
    """What can be written out can be indexed; an empty value cannot, for it also means a missing label."""
    assert indexable(rule("x", matcher("a", "=", "b")))
    assert indexable(rule("x", matcher("a", "=~", "b|(c|d)e")))
    assert not indexable(rule("x", matcher("a", "=", "")))
    assert not indexable(rule("x", matcher("a", "=~", "b|")))
    assert not indexable(rule("x", matcher("a", "=~", "b.*"), matcher("c", "!=", "d"), matcher("e", "!~", "f")))


def test_needs_a_label() -> None:
    """A rule all of whose matchers accept a missing label would match signals that say nothing."""
    assert needs_a_label([matcher("a", "=", "b"), matcher("c", "!=", "d")])
    assert not needs_a_label([matcher("a", "!=", "b"), matcher("c", "=~", ".*")])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a", {"a"}),
        ("", {""}),
        ("a|b|c", {"a", "b", "c"}),
        ("a|", {"a", ""}),
        ("dev-(portal|tools)", {"dev-portal", "dev-tools"}),
        ("(?:a|b)(c|d)", {"ac", "ad", "bc", "bd"}),
        (r"a\.b", {"a.b"}),
        ("a.b", None),
        ("a*", None),
        ("a?", None),
        ("[ab]", None),
        ("^a$", None),
        ("(?i)a", None),
        ("(?i:a|b)", None),
        (r"\d", None),
        ("(a", None),
        ("a)", None),
        ("a\\", None),
        ("(a|b)" * 9, None),
        ("|".join(str(number) for number in range(MOST_WORDS + 1)), None),
    ],
)
def test_words(pattern: str, expected: set[str] | None) -> None:
    """Lists of names are written out; everything else is left to the expression."""
    assert words(pattern) == expected


@settings(deadline=None)
@given(st.from_regex(r"\A([ab.|()*\\:?-]|\(\?:){0,12}\Z"), st.text(alphabet="ab.|(*-:", max_size=4))
def test_words_are_exactly_what_matches(pattern: str, other: str) -> None:
    """Whatever is written out is what RE2 accepts: every word, and nothing beside them."""
    found = words(pattern)
    assume(found is not None)
    assert found is not None
    try:
        check = compile_anchored(pattern)
    except BadRegex:
        return
    assert all(check(word) for word in found)
    assert check(other) is (other in found)


_LABELS = st.sampled_from(["alertname", "namespace", "severity", "pod"])
_VALUES = st.sampled_from(["", "a", "b", "c", "ab", "none"])
_PATTERNS = st.sampled_from(["a|b", "a|(b|c)", "a.*", ".*", ".+", "a|", "", "ab", "[ab]", "(?i)A"])
_MATCHERS = st.one_of(
    st.builds(matcher, _LABELS, st.sampled_from(["=", "!="]), _VALUES),
    st.builds(matcher, _LABELS, st.sampled_from(["=~", "!~"]), _PATTERNS),
)
_RULES = st.lists(st.lists(_MATCHERS, max_size=4), max_size=30).map(
    lambda groups: tuple(rule(f"r{number}", *group) for number, group in enumerate(groups))
)


@settings(deadline=None)
@given(_RULES, st.lists(st.dictionaries(_LABELS, _VALUES), min_size=1, max_size=5))
def test_index_finds_what_a_scan_finds(rules: tuple[Rule, ...], signals: list[dict[str, str]]) -> None:
    """For any rules and labels the index gives the rules, and the order, that comparing with each one gives."""
    index = RuleIndex.build(rules)
    for labels in signals:
        scan = [
            item.name
            for item in rules
            if item.match
            and labels.get("severity") != NEVER_ACTED_ON
            and all(check_of(part)(labels.get(part.label, "")) for part in item.match)
        ]
        assert names(index.matching(labels)) == scan


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("(", "correct"),
        ("(?=a)b", "'!~'"),
        (r"(a)\1", "back references"),
        ("a{1001}", "1000"),
        ("(x{30}){50}", "1000"),
        ("a" * 2049, "at most 2048"),
        (r"(\pL{10}){10}", "too large"),
    ],
)
def test_unusable_expressions(pattern: str, hint: str) -> None:
    """What Alertmanager would not take, or what would cost too much, is refused with a hint what to do."""
    with pytest.raises(BadRegex, match=hint):
        compile_anchored(pattern)


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "a*a*a*a*a*a*a*b", "(.*)(.*)(.*)(.*)x", "(.?){400}b"])
def test_no_text_hangs_an_expression(pattern: str) -> None:
    """Expressions that make a backtracking engine run for years answer at once, on 64 KiB too."""
    check = compile_anchored(pattern)
    began = time.perf_counter()
    assert check("a" * 65_536) is False
    assert time.perf_counter() - began < 5


def test_broken_text() -> None:
    """A lone surrogate is a text that does not match, not an exception."""
    assert compile_anchored("a+")("a\udc80") is False


def test_wanted_values() -> None:
    """Only ``=`` and a list of words say which values are wanted."""
    assert wanted_values(matcher("a", "=", "b")) == frozenset({"b"})
    assert wanted_values(matcher("a", "=~", "b|c")) == frozenset({"b", "c"})
    assert wanted_values(matcher("a", "!=", "b")) is None
    assert wanted_values(matcher("a", "!~", "b|c")) is None


def _rules(count: int) -> tuple[Rule, ...]:
    """Return rules like those of a large team: a hundred alert names over many namespaces, and a pattern each."""
    return tuple(
        rule(
            f"r{number}",
            matcher("alertname", "=~", f"Alert{number % 100}|Other{number % 100}"),
            matcher("namespace", "=", f"team-{number // 100}"),
            matcher("severity", "=~", "warn.*|critical"),
        )
        for number in range(count)
    )


def _signals(count: int, turns: int = 400) -> list[dict[str, str]]:
    """Return signals, each of which matches one of ``count`` such rules."""
    return [
        {
            "alertname": f"Alert{number % min(count, 100)}",
            "namespace": f"team-{number % max(count // 100, 1)}",
            "severity": "warning",
            "pod": f"p-{number}",
            "cluster": "c",
        }
        for number in range(turns)
    ]


def test_cost_does_not_grow_with_rules_that_cannot_match() -> None:
    """Ten thousand rules cost a signal about what ten cost; the bound leaves room for a busy machine."""
    cases = {count: (RuleIndex.build(_rules(count)), _signals(count)) for count in (10, 10_000)}
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(9):  # in turns, so that a busy moment hits both
        for count, (index, signals) in cases.items():
            began = time.thread_time()
            assert all(len(index.matching(labels)) == 1 for labels in signals)
            best[count] = min(best[count], (time.thread_time() - began) / len(signals))
    few, many = best[10], best[10_000]
    print(f"matching: {few * 1e6:.2f} us with 10 rules, {many * 1e6:.2f} us with 10,000, ratio {many / few:.2f}")
    assert many / few < 2.5


def test_candidates_do_not_grow_with_rules_that_cannot_match() -> None:
    """The same, counted instead of timed: how many rules are looked at for one signal."""
    labels = {"alertname": "Alert7", "namespace": "team-7", "severity": "warning"}
    for count in (1_000, 10_000):
        index = RuleIndex.build(_rules(count))
        assert index.compared(labels) <= 4
