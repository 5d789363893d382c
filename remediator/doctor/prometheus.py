"""Prometheus: whether it answers, what it is, how long it remembers, and whether it is to be believed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import datetime
from typing import Any, TypeVar

from remediator.core import vital_signs
from remediator.core.words import span
from remediator.doctor.asking import Asking, Vector
from remediator.doctor.finding import Clock, Finding, Grade, Look
from remediator.model.errors import MonitoringError
from remediator.model.measure import Answer, Sample

AREA = "Prometheus"
HINT = "--prometheus-url, REMEDIATOR_PROMETHEUS_URL"
T = TypeVar("T")
_GONE = frozenset({"unreachable", "timeout"})


def not_named() -> Look:
    """Return the finding that there is none to ask."""
    found = "none is named: the rows of the threshold table act on alerts only, nothing is polled"
    return Look(findings=(_finding("address", Grade.NOTE, found, f"name it, if rows are to be polled ({HINT})"),))


async def look(asking: Asking, now: datetime, settle_s: float) -> Look:
    """Look at it. ``now``: by this host's clock; ``settle_s``: as the poller waits."""
    async with asyncio.TaskGroup() as group:
        build = group.create_task(_try(asking.status("buildinfo")), name="doctor-build")
        runtime = group.create_task(_try(asking.status("runtimeinfo")), name="doctor-runtime")
        tsdb = group.create_task(_try(asking.status("tsdb")), name="doctor-tsdb")
        signs = group.create_task(_try(asking.vector(vital_signs.expression(settle_s))), name="doctor-signs")
        targets = group.create_task(_try(asking.vector("count(up)")), name="doctor-targets")
        down = group.create_task(_try(asking.vector("count(up == 0)")), name="doctor-down")
    believed = signs.result()
    if isinstance(believed, MonitoringError):
        return Look(findings=(_silent(believed),))
    findings = [
        _version(build.result()),
        _memory(runtime.result(), tsdb.result(), believed.at),
        _believed(believed, settle_s),
        _targets(targets.result(), down.result()),
    ]
    clock = Clock(whose=AREA, ahead_s=(believed.at - now).total_seconds())
    return Look(findings=tuple(findings), clocks=(clock,))


async def _try(asked: Awaitable[T]) -> T | MonitoringError:
    """Return an answer, or why there is none: one question must not end the others."""
    try:
        return await asked
    except MonitoringError as error:
        return error


def _finding(what: str, grade: Grade, found: str, advice: str = "") -> Finding:
    return Finding(area=AREA, what=what, grade=grade, found=found, advice=advice)


def _silent(error: MonitoringError) -> Finding:
    if error.reason in _GONE:
        advice = (
            f"start it, or correct its address ({HINT}); until it answers every row is unknown: nothing is set off,"
            " nothing ends, and people are told"
        )
        return _finding("reachable", Grade.STOP, str(error), advice)
    return _finding("reachable", Grade.STOP, str(error), f"look at the address and the credentials ({HINT})")


def _version(build: tuple[dict[str, Any], datetime] | MonitoringError) -> Finding:
    if isinstance(build, MonitoringError):
        found = "answers, and does not say its version: Thanos and Mimir do not"
        return _finding("reachable", Grade.OK, found)
    return _finding("reachable", Grade.OK, f"version {build[0].get('version', 'unknown')} answers")


def _memory(
    runtime: tuple[dict[str, Any], datetime] | MonitoringError,
    tsdb: tuple[dict[str, Any], datetime] | MonitoringError,
    at: datetime,
) -> Finding:
    if isinstance(runtime, MonitoringError):
        return _finding("memory", Grade.NOTE, "does not say how long it remembers")
    words = [f"keeps {runtime[0].get('storageRetention') or 'for ever'}"]
    if not isinstance(tsdb, MonitoringError):
        head = tsdb[0].get("headStats") or {}
        words.append(f"{head.get('numSeries', 0)} series")
        since = float(head.get("minTime") or 0) / 1000
        if 0 < since < at.timestamp():
            words.append(f"its head begins {span(at.timestamp() - since)} ago")
    return _finding("memory", Grade.OK, ", ".join(words))


def _believed(signs: Vector, settle_s: float) -> Finding:
    if signs.warnings:
        advice = "answers with warnings say nothing to the poller; look at what Prometheus reads from (remote stores)"
        return _finding("trust", Grade.STOP, f"answers with a warning: {signs.warnings[0]}", advice)
    samples = tuple(Sample(labels=labels, value=value) for labels, value in signs.samples)
    problem = vital_signs.problem(Answer(samples=samples), signs.at, settle_s)
    if problem is not None:
        advice = "rows are unknown until that is over; look at its targets (Status, Targets) and its disk"
        return _finding("trust", Grade.STOP, problem.detail, advice)
    return _finding("trust", Grade.OK, f"scrapes now, and did {span(settle_s)} ago, without warnings")


def _targets(targets: Vector | MonitoringError, down: Vector | MonitoringError) -> Finding:
    if isinstance(targets, MonitoringError) or isinstance(down, MonitoringError):
        return _finding("targets", Grade.NOTE, "cannot be counted")
    number = int(sum(value or 0 for _, value in targets.samples))
    silent = int(sum(value or 0 for _, value in down.samples))
    if silent:
        advice = "see Status, Targets; what they measure is unknown"
        return _finding("targets", Grade.NOTE, f"{silent} of {number} do not answer", advice)
    return _finding("targets", Grade.OK, f"all {number} answer")
