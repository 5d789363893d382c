"""Tables and goals as people read them."""

import math

import pytest

from bench.report import Report, alternate
from bench.table import Cell, Goal, number, render


@pytest.mark.parametrize(
    ("value", "text"),
    [("limit", "limit"), (1234567, "1,234,567"), (4565.4, "4,565"), (12.345, "12.3"), (0.8, "0.80"), (math.nan, "-")],
)
def test_numbers_have_the_digits_that_count(value: Cell, text: str) -> None:
    """About three of them; what was not measured is a dash."""
    assert number(value) == text


def test_columns_line_up() -> None:
    """Words to the left, numbers to the right, nothing at the ends of lines."""
    table = render(("system", "alerts/s"), [("limit", 4565.0), ("daemon", 9.5)])
    assert table.splitlines() == ["system  alerts/s", "limit      4,565", "daemon      9.50"]


def test_a_goal_says_whether_it_is_met() -> None:
    """At least, and at most; the bound itself meets both."""
    assert str(Goal("intake", 0.8, 0.8)) == "intake: 0.80 (goal >= 0.8: met)"
    assert str(Goal("p99", 3.5, 3.0, most=True, unit=" x")) == "p99: 3.50 x (goal <= 3 x: MISSED)"


@pytest.mark.parametrize("most", [True, False])
def test_what_was_not_measured_meets_no_goal(most: bool) -> None:
    """A benchmark that broke may not look like a success."""
    assert not Goal("any", math.nan, 1.0, most=most).met


def test_the_report_tells_missed_from_broken(capsys: pytest.CaptureFixture[str]) -> None:
    """A missed goal is a finding; a lost alert is a fault."""
    report = Report()
    report.goal(Goal("slow", 0.5, 0.8))
    report.goal(Goal("quick", 0.9, 0.8))
    report.must("lost", 1, 0)
    report.must("twice", 0, 0)
    assert (report.missed, report.broken) == (["slow"], ["lost: 1, must be 0"])
    assert capsys.readouterr().out.count("\n") == 4


def test_rounds_take_turns() -> None:
    """Every other round runs backwards, so that nobody is always the first."""
    assert [alternate("ab", turn) for turn in range(3)] == ["ab", "ba", "ab"]
