"""Alertmanager's matcher syntax, held against Alertmanager's own program."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from shutil import which

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.core.match import check_of
from remediator.model.rule import Matcher, MatchOp
from remediator.rulebook.matchers import BadMatcher, parse_matchers

AMTOOL = which("amtool")


def matcher(label: str, op: str, value: str) -> Matcher:
    """Return a matcher."""
    return Matcher(label=label, op=MatchOp(op), value=value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a="b"', [("a", "=", "b")]),
        ("a=b", [("a", "=", "b")]),
        (' a != "b" ', [("a", "!=", "b")]),
        ('a=~"b|c"', [("a", "=~", "b|c")]),
        ("a!~b.*", [("a", "!~", "b.*")]),
        ('a=""', [("a", "=", "")]),
        ('a="b",c="d"', [("a", "=", "b"), ("c", "=", "d")]),
        ('{a="b", c=~"d"}', [("a", "=", "b"), ("c", "=~", "d")]),
        ('{a="b",}', [("a", "=", "b")]),
        ('a="b",', [("a", "=", "b")]),
        ('"a.b"="c"', [("a.b", "=", "c")]),
        (r'a="\"\\\n"', [("a", "=", '"\\\n')]),
        (r'a=~"\d+"', [("a", "=~", r"\d+")]),
        ('a="{b, c}"', [("a", "=", "{b, c}")]),
    ],
)
def test_matchers(text: str, expected: list[tuple[str, str, str]]) -> None:
    """Quoted and bare values, several matchers, braces, escapes."""
    assert parse_matchers(text) == tuple(matcher(*parts) for parts in expected)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "character 1: a label name is missing"),
        ("{}", "character 2: a label name is missing"),
        ("a", "character 2: an operator is missing"),
        ('a~"b"', "an operator is missing"),
        ('a=="b"', "write '='"),
        ("a=", "a value is missing"),
        ('a="b', "close the double quote"),
        ("a='b'", "write it in double quotes"),
        ('{a="b"', "close the braces"),
        ('a="b"}', "is left over"),
        ('a="b"{', "braces belong round all matchers"),
        ('a="b" c="d"', "',' between matchers"),
        ('1a="b"', "a label name is missing"),
        ('""="b"', "a label name is missing"),
        ('a=~"("', "bad regular expression"),
        ('a!~"[z-a]"', "bad regular expression"),
        ("a=" + "b" * 5000, "is too long"),
    ],
)
def test_bad_matchers(text: str, says: str) -> None:
    """What is wrong, where in the text, and what to do."""
    with pytest.raises(BadMatcher) as refused:
        parse_matchers(text)
    assert says in str(refused.value)
    assert len(str(refused.value)) < 300


@settings(deadline=None)
@given(st.from_regex(r"\A[a-zA-Z_][a-zA-Z0-9_]{0,9}\Z"), st.sampled_from(["=", "!="]), st.text(max_size=20))
def test_matchers_go_there_and_back(label: str, op: str, value: str) -> None:
    """A matcher as it is printed can be read again, unless its value holds line breaks."""
    if "\n" not in value:
        assert parse_matchers(str(matcher(label, op, value))) == (matcher(label, op, value),)


@settings(deadline=None)
@given(st.text(alphabet='ab=!~"{},\\ (|*', max_size=12))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Any text is read, or refused with a sentence."""
    try:
        outcome = str(parse_matchers(text))
    except BadMatcher as refused:
        outcome = str(refused)
    assert len(outcome) > len("()")


@pytest.mark.alertmanager
@pytest.mark.skipif(AMTOOL is None, reason="needs amtool (Debian: prometheus-alertmanager)")
@pytest.mark.parametrize(
    "text",
    [
        'a="b"',
        'a!="b"',
        'a=~"b|c"',
        'a=~"b.*"',
        'a!~"b|c"',
        'a=~".*"',
        'a=~".+"',
        'a=""',
        r'a=~"b\\.c"',
        r'a=~"\d"',
        "a=b",
    ],
)
def test_alertmanager_agrees(text: str, tmp_path: Path) -> None:
    """For each matcher, Alertmanager routes the same label values that our matcher accepts."""
    assert AMTOOL is not None
    config = tmp_path / "alertmanager.yml"
    route = {"receiver": "no", "routes": [{"receiver": "yes", "matchers": [text]}]}
    config.write_text(json.dumps({"route": route, "receivers": [{"name": "no"}, {"name": "yes"}]}), encoding="utf-8")
    [parsed] = parse_matchers(text)
    check = check_of(parsed)
    for value in ["", "b", "c", "bc", "b.c", "bxc", "7"]:
        words = [
            AMTOOL,
            "config",
            "routes",
            "test",
            f"--config.file={config}",
            "x=y",
            *([f"a={value}"] if value else []),
        ]
        answer = subprocess.run(words, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
        assert (answer == "yes") is check(value), f"{text} on {value!r}: Alertmanager says {answer}"
