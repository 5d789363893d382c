"""The rows of the threshold table: which series each would need, which are there, and what comes of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from remediator.core import sources
from remediator.core.match import RuleIndex
from remediator.core.threshold_news import figure
from remediator.doctor.asking import Asking, Vector
from remediator.doctor.finding import Finding, Grade, Look
from remediator.model.errors import MonitoringError
from remediator.model.rule import Rule, Source, Threshold

AREA = "rows"
AT_ONCE = 4


async def look(rules: Sequence[Rule], asking: Asking) -> Look:
    """Look at every row, a few at once."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(rule: Rule, threshold: Threshold) -> Finding | None:
        async with slots:
            return await _row(rule, threshold, asking)

    rows = [(rule, rule.threshold) for rule in rules if rule.threshold is not None]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(rule, row), name="doctor-row") for rule, row in rows]
    found = [task.result() for task in tasks]
    if rows and not any(found):
        words = f"{len(rows)} rows could not be looked at: Prometheus does not answer"
        return Look(findings=(Finding(area=AREA, what="all", grade=Grade.NOTE, found=words),))
    return Look(findings=tuple(one or _silent(row[0]) for one, row in zip(found, rows, strict=True)))


def _silent(rule: Rule) -> Finding:
    return _finding(rule, Grade.STOP, "could not be looked at: no answer in time", "look at the load of Prometheus")


async def _row(rule: Rule, threshold: Threshold, asking: Asking) -> Finding | None:
    """Return what is to be said of a row; None: Prometheus does not answer."""
    try:
        present: dict[str, int] = {}
        for expr, part in sources.probes(sources.selectors([threshold])):
            present |= sources.counted(part, (await asking.vector(expr)).samples)
        source = sources.choose(threshold, frozenset(present))
        if source is None:
            return _nothing(rule, threshold, frozenset(present))
        return _seen(rule, threshold, source, await asking.vector(source.expr))
    except MonitoringError as error:
        if error.reason in {"unreachable", "timeout"}:
            return None
        grade = Grade.GAP if error.reason == "refused" else Grade.STOP
        advice = f"see {rule.place}; try the expression in Prometheus itself"
        return _finding(rule, grade, f"cannot be evaluated: {error}", advice)


def _finding(rule: Rule, grade: Grade, found: str, advice: str = "") -> Finding:
    return Finding(area=AREA, what=rule.name, grade=grade, found=found, advice=advice)


def _nothing(rule: Rule, threshold: Threshold, present: frozenset[str]) -> Finding:
    """Say for each source what it lacks, in a word: the metric."""
    lacks = []
    for source in sources.candidates(threshold):
        metrics = sorted({one.partition("{")[0] or one for one in sources.lacking(source, present)})
        lacks.append(f"{source.name or 'it'} lacks {', '.join(metrics)}")
    advice = f"have Prometheus scrape one of these, or write an expression of your own ({rule.place})"
    return _finding(rule, Grade.GAP, f"no series: {'; '.join(lacks)}", advice)


def _seen(rule: Rule, threshold: Threshold, source: Source, answer: Vector) -> Finding:
    by = f" by {source.name}" if source.name else ""
    if answer.warnings:
        advice = "a partial answer says nothing to the poller; look at what Prometheus reads from"
        return _finding(rule, Grade.GAP, f"answered{by} with a warning: {answer.warnings[0]}", advice)
    if not answer.samples:
        advice = f"compare the labels of its parts, and the namespaces in it, with yours ({rule.place})"
        return _finding(rule, Grade.GAP, f"the series{by} are there, and the expression gives nothing", advice)
    index = RuleIndex.build((rule,))
    ours = [
        value
        for labels, value in answer.samples
        if index.matching({**labels, "alertname": rule.name, "severity": "critical"})
    ]
    if not ours:
        advice = f"the row's 'match' accepts none of their labels ({rule.place})"
        return _finding(rule, Grade.GAP, f"{len(answer.samples)} series{by}, and none is the row's", advice)
    numbers = [value for value in ours if value is not None and math.isfinite(value)]
    unknown = len(ours) - len(numbers)
    words = [f"{len(ours)} series{by}"]
    if numbers:
        words.append(f"the highest {figure(max(numbers), threshold.unit)}")
    if unknown:
        advice = "no number: no bucket near the threshold, or a limit of zero; the poller takes them for unknown"
        return _finding(rule, Grade.NOTE, f"{', '.join(words)}; {unknown} without a number", advice)
    return _finding(rule, Grade.OK, ", ".join(words))
