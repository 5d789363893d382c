"""Expressions must give one value for each series."""

from __future__ import annotations

import pytest

from remediator.rulebook.promql import LONGEST, expression_fault


@pytest.mark.parametrize(
    "text",
    [
        "up",
        "sum by (namespace) (rate(x[5m]))",
        "100 * a / b > 0.5",
        "1 + up",
        "-(up)",
        "histogram_quantile(0.95, sum by (le) (rate(x_bucket[5m])))",
        "max_over_time(rate(x[5m])[10m:])",
        "vector(1)",
        "+".join(["up"] * 2000),
        "(" * 1000 + "up" + ")" * 1000,
    ],
)
def test_instant_vectors(text: str) -> None:
    """These can be polled."""
    assert expression_fault(text) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("up[5m]", "wrap it in a function"),
        ("(up[5m])", "wrap it in a function"),
        ("rate(x[5m])[10m:]", "wrap it in a function"),
        ("1", "select a metric"),
        ("1 + 2", "select a metric"),
        ("time()", "select a metric"),
        ("scalar(up)", "select a metric"),
        ('"text"', "select a metric"),
        ("sum(", "this is not PromQL"),
        ("rate(up)", "this is not PromQL"),
        ("nosuchfunction(up)", "this is not PromQL"),
        ('up{a=~"("}', "this is not PromQL"),
        ("", "this is not PromQL"),
        ("a" * (LONGEST + 1), "recording rule"),
    ],
)
def test_everything_else(text: str, says: str) -> None:
    """These cannot, and the reason says what to do."""
    fault = expression_fault(text)
    assert fault is not None
    assert says in fault
