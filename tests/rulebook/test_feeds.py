"""What an expression lives on is read off its syntax tree."""

from __future__ import annotations

import pytest

from remediator.rulebook.feeds import MOST_GROUPS, needs_of

MANY = " * ".join(f"(a{number} or b{number})" for number in range(5))


@pytest.mark.parametrize(
    ("expr", "needs"),
    [
        ("up", (("up",),)),
        ('rate(x{a="1", b!~"q|r"}[5m] offset 1h)', (('x{a="1", b!~"q|r"}',),)),
        ('{__name__=~"node_.+"}', (('{__name__=~"node_.+"}',),)),
        (r'x{a=~"\\d\"\n"}', ((r'x{a=~"\\d\"\n"}',),)),
        ("100 * sum(a) / sum(b)", (("a", "b"),)),
        ("(sum(err) or 0 * sum(every)) / sum(every)", (("every",),)),
        ("a or b", (("a",), ("b",))),
        ("a - (b or 0 * a)", (("a",),)),
        ("(a or b) * (c or d)", (("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"))),
        ("a unless b", (("a",),)),
        ("a and on (x) b", (("a", "b"),)),
        ("max_over_time(rate(x[5m])[10m:1m])", (("x",),)),
        ("histogram_quantile(0.95, sum by (le) (rate(x_bucket[5m])))", (("x_bucket",),)),
        ("topk(3, a) + -(b)", (("a", "b"),)),
        ("absent(up)", ()),
        ("up or vector(0)", ()),
        ("vector(1)", ()),
        (MANY, ()),
        (" + ".join(["up"] * 2000), (("up",),)),
        ("(" * 900 + "up" + ")" * 900, (("up",),)),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_needs(expr: str, needs: tuple[tuple[str, ...], ...]) -> None:
    """Both sides of an operator, either side of "or", the left one of "unless"; nothing where that cannot be told."""
    assert needs_of(expr) == needs


def test_too_many_alternatives_are_left_out() -> None:
    """Whatever else is needed stays."""
    assert MOST_GROUPS < 2**5
    assert needs_of(f"({MANY}) + up") == (("up",),)
