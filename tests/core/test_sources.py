"""Which way to measure a row is chosen by the series that are there, and kept."""

from __future__ import annotations

import pytest
from msgspec import structs

from remediator.core.sources import (
    MOST_SELECTORS,
    PROBE,
    candidates,
    choose,
    counted,
    lacking,
    measured_by,
    probes,
    selectors,
    undecided,
)
from remediator.model.rule import Rule, Severity, Source, TargetSpec, Threshold
from remediator.model.target import Kind

ISTIO = Source(name="istio", expr="sum(istio)", needs=(("istio",),))
TRAEFIK = Source(name="traefik", expr="sum(t) / sum(u)", needs=(("t", "u"),))
EITHER = Source(name="either", expr="a or b", needs=(("a",), ("b",)))
ROW = Threshold(expr="sum(istio)", unit="percent", warning=1, critical=2, for_s=60, sources=(ISTIO, TRAEFIK, EITHER))
PINNED = structs.replace(ROW, expr=TRAEFIK.expr, sources=(TRAEFIK, ISTIO), pinned=True)


@pytest.mark.parametrize(
    ("present", "current", "chosen"),
    [
        ({"istio", "t", "u", "a"}, None, "istio"),
        ({"t", "u", "a"}, None, "traefik"),
        ({"t", "b"}, None, "either"),
        (set(), None, None),
        ({"t"}, None, None),
        # What is in use stays, though a better one has come.
        ({"istio", "t", "u"}, "traefik", "traefik"),
        # What is in use has lost its series.
        ({"istio", "t"}, "traefik", "istio"),
        ({"istio"}, "of rules long gone", "istio"),
    ],
)
def test_choose(present: set[str], current: str | None, chosen: str | None) -> None:
    """The first whose series are there, unless the one in use can stay."""
    found = choose(ROW, frozenset(present), current)
    assert (found.name if found else None) == chosen


def test_a_pinned_one_is_the_only_one() -> None:
    """Whatever else is there: its author knows better."""
    assert candidates(PINNED) == (TRAEFIK,)
    assert choose(PINNED, frozenset({"istio"})) is None
    assert choose(PINNED, frozenset({"t", "u"})) == TRAEFIK
    assert not undecided(PINNED)


def test_a_row_with_one_expression_needs_no_choice() -> None:
    """It is not asked about, and may be measured by it whatever is there."""
    plain = Threshold(expr="up", unit="u", warning=1, critical=2, for_s=1)
    assert not undecided(plain)
    assert choose(plain, frozenset()) == Source(name="", expr="up")
    assert undecided(ROW)


def test_lacking() -> None:
    """What keeps a source from giving anything: the least that would have to come."""
    assert lacking(TRAEFIK, frozenset({"t"})) == ("u",)
    assert lacking(EITHER, frozenset()) == ("a",)
    assert lacking(EITHER, frozenset({"b"})) == ()


def test_the_probe() -> None:
    """One question for all selectors, numbered, and its answer read back; a stranger's answer counts for nothing."""
    wanted = selectors([ROW, PINNED])
    assert wanted == ("istio", "t", "u", "a", "b")
    [(expr, part)] = probes(wanted)
    assert expr.startswith(f'label_replace(count(istio), "{PROBE}", "0", "", "") or label_replace(count(t), ')
    assert part == wanted
    samples = [
        ({PROBE: "0"}, 12.0),
        ({PROBE: "2"}, 1.0),
        ({PROBE: "3"}, 0.0),
        ({PROBE: "4"}, None),
        ({PROBE: "5"}, 9.0),
        ({PROBE: "x"}, 9.0),
        ({}, 9.0),
    ]
    assert counted(part, samples) == {"istio": 12, "u": 1}


def test_many_selectors_are_asked_for_in_parts() -> None:
    """Each part has numbers of its own."""
    wanted = [f"m{number}" for number in range(MOST_SELECTORS + 1)]
    (_, first), (expr, second) = probes(wanted)
    assert (len(first), second) == (MOST_SELECTORS, (wanted[-1],))
    assert '"0"' in expr
    assert probes(()) == ()


def test_measured_by() -> None:
    """The rule that is evaluated has the chosen expression as its own; a rule without a metric stays as it is."""
    rule = Rule(
        name="errors",
        match=(),
        severity=Severity.P3,
        target=TargetSpec(namespaces=("backstage",), kinds=(Kind.DEPLOYMENT,)),
        ladder=(),
        threshold=ROW,
    )
    measured = measured_by(rule, TRAEFIK).threshold
    assert measured is not None
    assert measured.expr == TRAEFIK.expr
    other = structs.replace(rule, threshold=None)
    assert measured_by(other, TRAEFIK) == other
