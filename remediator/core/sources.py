"""Which way to measure a row of the threshold table: the one whose series this Prometheus has.

A row may carry several expressions, one for each kind of monitoring that can answer it (``Source``). Whoever evaluates
a row asks ``probes`` when the rules have changed, reads the answers with ``counted``, and evaluates the expression that
``choose`` returns (``flow.choosing`` for the poller). A choice is kept as long as the series it needs are there: two
ways of measuring must not take turns, for each calls its series by labels of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import structs

from remediator.model.rule import Rule, Source, Threshold
from remediator.model.signal import Labels

PROBE = "probe"
"""The label of the probe's answer that holds the number of a selector."""
MOST_SELECTORS = 60
"""Of one probe: what Prometheus is asked at once stays small."""


def undecided(threshold: Threshold) -> bool:
    """Tell whether it has to be found out which source there is."""
    return len(threshold.sources) > 1 and not threshold.pinned


def candidates(threshold: Threshold) -> tuple[Source, ...]:
    """Return the sources that may be chosen, the preferred one first."""
    named = threshold.sources or (Source(name="", expr=threshold.expr),)
    return named[:1] if threshold.pinned else named


def selectors(thresholds: Iterable[Threshold]) -> tuple[str, ...]:
    """Return the selectors that the sources of these rows need, each once."""
    found = (one for row in thresholds for source in candidates(row) for group in source.needs for one in group)
    return tuple(dict.fromkeys(found))


def probes(wanted: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the questions whether there are such series: each an expression, and the selectors that it numbers.

    Each answer's sample has the selector's number under ``PROBE`` and counts its series; a selector without any has
    none.
    """
    parts = [tuple(wanted[start : start + MOST_SELECTORS]) for start in range(0, len(wanted), MOST_SELECTORS)]
    return tuple((_probe(part), part) for part in parts)


def _probe(part: Sequence[str]) -> str:
    return " or ".join(f'label_replace(count({one}), "{PROBE}", "{number}", "", "")' for number, one in enumerate(part))


def counted(part: Sequence[str], samples: Iterable[tuple[Labels, float | None]]) -> dict[str, int]:
    """Return how many series each selector of a probe selects; one that selects none is left out."""
    found: dict[str, int] = {}
    for labels, value in samples:
        number = labels.get(PROBE, "")
        if value is not None and value > 0 and number.isdecimal() and int(number) < len(part):
            found[part[int(number)]] = int(value)
    return found


def fed(source: Source, present: frozenset[str]) -> bool:
    """Tell whether there are the series that a source needs."""
    return not source.needs or any(present.issuperset(group) for group in source.needs)


def lacking(source: Source, present: frozenset[str]) -> tuple[str, ...]:
    """Return the selectors without series that keep a source from giving anything: of the group that lacks fewest."""
    if fed(source, present):
        return ()
    missing = (tuple(one for one in group if one not in present) for group in source.needs)
    return min(missing, key=len)


def choose(threshold: Threshold, present: frozenset[str], current: str | None = None) -> Source | None:
    """Return the source to measure a row by; None: there are no series for any.

    ``present``: the selectors that select something. ``current``: the name of the source in use, which stays if it can.
    """
    able = [one for one in candidates(threshold) if fed(one, present)]
    return next((one for one in able if one.name == current), able[0] if able else None)


def measured_by(rule: Rule, source: Source) -> Rule:
    """Return the rule with the source's expression as its own."""
    if rule.threshold is None:
        return rule
    return structs.replace(rule, threshold=structs.replace(rule.threshold, expr=source.expr))
