"""What is valid and odd is said, and loads all the same."""

from __future__ import annotations

import pytest

from tests.rulebook.writing import RULE, loaded, short


def warnings(fields: str) -> list[str]:
    """Return the warnings about a rule with these fields."""
    text = f"rules:\n  - {{name: one, target: {{namespaces: [backstage]}}, {fields}}}"
    return [short(warning) for warning in loaded(text).warnings]


SOUND = """match: ['alertname="A"'], severity: P3, ladder: [notify]"""


def test_nothing_to_say() -> None:
    """An ordinary rule has no warnings."""
    assert loaded(RULE).warnings == ()
    assert warnings(SOUND) == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            """match: ['alertname="A"'], severity: P3, ladder: [restart, notify], limits: {cooldown: 5s}""",
            "'restart' may come again after 5s",
        ),
        ("""match: ['alertname=~"A.*"'], severity: P3, ladder: [notify]""", "every alert has to be compared"),
        (
            """match: ['alertname="A"', 'alertname!="A"'], severity: P3, ladder: [notify]""",
            "the matchers on 'alertname' cannot all hold",
        ),
        (
            """match: ['alertname=~"A|B"', 'alertname=~"C.*"'], severity: P3, ladder: [notify]""",
            "the matchers on 'alertname' cannot all hold",
        ),
        (
            """match: ['alertname="A"', 'severity=~"none|x"', 'severity!="x"'], severity: P3, ladder: [notify]""",
            "the matchers on 'severity' cannot all hold",
        ),
        ("""match: ['alertname=~"A"'], severity: P3, ladder: [notify]""", "is no expression but one value; write '='"),
        (
            """match: ['alertname="A"', 'team!~"x"'], severity: P3, ladder: [notify]""",
            "is no expression but one value; write '!='",
        ),
        (
            """match: ['alertname="A"', 'team=~"^x.*"'], severity: P3, ladder: [notify]""",
            "anchored at both ends already",
        ),
        (
            """match: ['alertname="A"', 'team!~"x.*$"'], severity: P3, ladder: [notify]""",
            "anchored at both ends already",
        ),
        ("""match: ['alertname="A"'], severity: P1, ladder: [restart]""", "a P1 rule should end by telling people"),
        (
            """match: ['alertname="A"'], severity: P3, ladder: [restart, restart, notify]""",
            "'restart' again, right after itself",
        ),
    ],
)
def test_odd_rules(fields: str, says: str) -> None:
    """Each oddity is named once, and nothing else."""
    [warning] = warnings(fields)
    assert says in warning


def test_a_short_cooldown_that_changes_nothing() -> None:
    """Looking and telling may be repeated at once."""
    assert warnings(SOUND + ", limits: {cooldown: 0}") == []


def test_places() -> None:
    """A warning names the field, by line and column."""
    line = """  - {name: one, match: ['alertname="A"', 'namespace="b"'], severity: P1, ladder: [notify, restart]}"""
    [warning] = loaded(f"rules:\n{line}").warnings
    assert short(warning).startswith(f"2:{line.index('[notify') + 1} a P1 rule should end by telling people")
