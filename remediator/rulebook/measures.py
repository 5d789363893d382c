"""How a row of the threshold table is measured: one expression, or one for each kind of monitoring."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from remediator.actions.parameters import did_you_mean
from remediator.model.rule import Source, Threshold
from remediator.rulebook.faults import Fault
from remediator.rulebook.feeds import needs_of
from remediator.rulebook.parse import Entry
from remediator.rulebook.shapes import ThresholdShape

_MILLISECONDS = re.compile(r"_(milliseconds|ms)\b|_(milliseconds|ms)_(bucket|sum|count)\b")


def source_faults(entry: Entry[Any]) -> Iterator[Fault]:
    """Find what is wrong between the fields that say how a row is measured."""
    if not {"expr", "sources", "source"} <= entry.values.keys():
        return
    expr, sources, pinned = (entry.values[name] for name in ("expr", "sources", "source"))
    if expr is None and sources is None:
        yield entry.fault("'expr' is missing; add it, or 'sources' with an expression for each kind of monitoring")
    if expr is not None and sources is not None:
        yield entry.fault("'expr' and 'sources' are two answers to one question; remove one of them", "expr")
    if pinned is not None and sources is None:
        yield entry.fault("'source' chooses among 'sources', and there are none; remove it", "source")
    if sources is not None:
        yield from _name_faults(entry, [one.name for one in sources], pinned)


def _name_faults(entry: Entry[Any], names: list[str], pinned: str | None) -> Iterator[Fault]:
    for number, name in enumerate(names):
        if name in names[:number]:
            yield entry.fault(f"the source '{name}' is listed twice; rename one of them", "sources", number, "name")
    if pinned is not None and pinned not in names:
        yield entry.fault(f"there is no source '{pinned}' here{did_you_mean(pinned, names)}", "source")


def source_warnings(entry: Entry[Any], threshold: Threshold) -> Iterator[Fault]:
    """Find sources that can never be chosen, and milliseconds in a row of seconds."""
    written = [one.name for one in entry.values["sources"] or ()]
    for number, source in enumerate(threshold.sources):
        place = ("sources", written.index(source.name), "expr") if source.name else ("expr",)
        if threshold.unit == "seconds" and _MILLISECONDS.search(source.expr) and "1000" not in source.expr:
            yield entry.fault("this metric counts milliseconds, and the row seconds; divide by 1000", *place)
        before = next((one for one in threshold.sources[:number] if _covers(one, source)), None)
        if before is not None and not threshold.pinned:
            words = f"'{source.name}' is never chosen: wherever its series are, those of '{before.name}' are as well"
            yield entry.fault(f"{words}; put it before that one, or remove it", *place)


def _covers(one: Source, other: Source) -> bool:
    """Tell whether one source has its series wherever another one has."""
    return not one.needs or (
        bool(other.needs) and all(any(set(less) <= set(group) for less in one.needs) for group in other.needs)
    )


def sources_of(shape: ThresholdShape) -> tuple[Source, ...]:
    """Return the ways to measure a row without faults; the one that the author wants stands first."""
    if shape.sources is None:
        expr = shape.expr or ""
        return (Source(name="", expr=expr, needs=needs_of(expr)),)
    found = [Source(name=one.name, expr=one.expr, needs=needs_of(one.expr)) for one in shape.sources]
    return tuple(sorted(found, key=lambda one: one.name != shape.source))
