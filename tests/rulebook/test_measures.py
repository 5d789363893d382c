"""A row is measured by one expression, or by one for each kind of monitoring."""

from __future__ import annotations

import pytest

from remediator.model.rule import Source
from tests.rulebook.writing import faults, loaded, only_rule, short

ROW = """
thresholds:
  - name: errors
    %s
    unit: %s
    warning: 1
    critical: 2
    for: 1m
    severity: P3
    target: {workload: backstage/web}
    ladder: [notify]
"""
TWO = "sources: [{name: istio, expr: sum(istio)}, {name: traefik, expr: sum(traefik)}]"


def row(fields: str, unit: str = "percent") -> str:
    """A row that is measured like this."""
    return ROW % (fields, unit)


def test_the_first_source_is_the_preferred_one() -> None:
    """All of them are there, with what they need; until one is chosen the first one's expression is the row's."""
    threshold = only_rule(row(TWO)).threshold
    assert threshold is not None
    assert threshold.expr == "sum(istio)"
    assert threshold.sources == (
        Source(name="istio", expr="sum(istio)", needs=(("istio",),)),
        Source(name="traefik", expr="sum(traefik)", needs=(("traefik",),)),
    )
    assert not threshold.pinned


def test_an_author_may_pin_one() -> None:
    """It stands first, and no other is to be chosen."""
    threshold = only_rule(row(f"{TWO}\n    source: traefik")).threshold
    assert threshold is not None
    assert threshold.pinned
    assert threshold.expr == "sum(traefik)"


def test_one_expression_is_one_source_without_a_name() -> None:
    """So whoever measures need not know how the row was written."""
    threshold = only_rule(row("expr: sum(a)")).threshold
    assert threshold is not None
    assert threshold.sources == (Source(name="", expr="sum(a)", needs=(("a",),)),)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            "description: x",
            "3:5 'expr' is missing; add it, or 'sources' with an expression for each kind of monitoring",
        ),
        (f"expr: sum(a)\n    {TWO}", "4:11 'expr' and 'sources' are two answers to one question; remove one of them"),
        ("expr: sum(a)\n    source: istio", "5:13 'source' chooses among 'sources', and there are none; remove it"),
        (f"{TWO}\n    source: istoi", "5:13 there is no source 'istoi' here; did you mean 'istio'?"),
        (f"{TWO}\n    source: nginx", "5:13 there is no source 'nginx' here; known are istio, traefik"),
        ("sources: []", "4:14 this list is empty; write at least one entry"),
        ("sources: [{name: a, expr: sum(a)}, {name: a, expr: sum(b)}]", "4:47 the source 'a' is listed twice; rename"),
        ("sources: [{name: a, expr: sum(}]", "4:31 this is not PromQL"),
        ("sources: [{name: a, exr: sum(a)}]", "4:25 there is no field 'exr' here; did you mean 'expr'?"),
        ("sources: [{name: a, expr: 'a[5m]'}]", "4:31 this gives a range of samples"),
        ("sources: [{name: A, expr: a}]", "4:22 'A' is not a name"),
        ("sources: a", "4:14 this must be a list"),
    ],
)
def test_faults(fields: str, says: str) -> None:
    """Each with its line and column, and what to do."""
    found = faults(row(fields))
    assert any(one.startswith(says) for one in found), found


@pytest.mark.parametrize(
    ("fields", "unit", "says"),
    [
        (
            "sources: [{name: a, expr: sum(a)}, {name: b, expr: sum(a) / sum(b)}]",
            "percent",
            "4:56 'b' is never chosen: wherever its series are, those of 'a' are as well; put it before",
        ),
        ("sources: [{name: a, expr: a or vector(1)}, {name: b, expr: b}]", "percent", "4:64 'b' is never chosen"),
        ("expr: istio_milliseconds_bucket", "seconds", "4:11 this metric counts milliseconds, and the row seconds"),
        (
            "sources: [{name: b, expr: b}, {name: a, expr: 'max(a_ms)'}]",
            "seconds",
            "4:51 this metric counts milliseconds",
        ),
    ],
)
def test_warnings(fields: str, unit: str, says: str) -> None:
    """What is valid, and cannot be meant."""
    [warning] = loaded(row(fields, unit)).warnings
    assert short(warning).startswith(says)


@pytest.mark.parametrize(
    ("fields", "unit"),
    [
        ("sources: [{name: b, expr: sum(a) / sum(b)}, {name: a, expr: sum(a)}]", "percent"),
        ("sources: [{name: a, expr: sum(a)}, {name: b, expr: sum(a) / sum(b)}]\n    source: b", "percent"),
        ("expr: istio_milliseconds_sum / 1000", "seconds"),
        ("expr: istio_milliseconds_sum", "milliseconds"),
    ],
)
def test_nothing_to_say(fields: str, unit: str) -> None:
    """The stricter one first, one that is pinned, and one unit."""
    assert loaded(row(fields, unit)).warnings == ()
