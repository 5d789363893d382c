"""Alertmanager: whether each that was named answers, and whether a receiver points at us, where that can be seen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct, field

from remediator.adapters.alerting.alertmanager import STATUS
from remediator.adapters.alerting.fetch import Fetch
from remediator.doctor.finding import Clock, Finding, Grade, Look
from remediator.model.errors import MonitoringError

AREA = "Alertmanager"
HINT = "--alertmanager-url, REMEDIATOR_ALERTMANAGER_URL"
HOOK = "/api/v1/webhooks/alertmanager"
_MASKED = re.compile(r"\burl: *<secret>|\burl_file: ")
_RESOLVED_OFF = re.compile(rf"send_resolved: false(?:(?!-).)*{HOOK}", re.DOTALL)


class _Version(Struct):
    version: str = ""


class _Config(Struct):
    original: str = ""


class _Status(Struct):
    versionInfo: _Version = field(default_factory=_Version)  # noqa: N815 - Alertmanager's own spelling
    config: _Config = field(default_factory=_Config)
    cluster: dict[str, Any] = field(default_factory=dict)


def not_named() -> Look:
    """Return the finding that there is none to ask."""
    found = "none is named: what its webhooks do not bring, and silences, stay unseen"
    return Look(findings=(_finding("address", Grade.NOTE, found, f"name it ({HINT})"),))


async def look(named: Sequence[str], fetch: Fetch, now: datetime) -> Look:
    """Look at each of ``source=address``; ``now`` by this host's clock."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_one(one, fetch, now), name="doctor-alertmanager") for one in named]
    looks = [task.result() for task in tasks]
    return Look(
        findings=tuple(finding for one in looks for finding in one.findings),
        clocks=tuple(clock for one in looks for clock in one.clocks),
    )


async def _one(named: str, fetch: Fetch, now: datetime) -> Look:
    source, _, url = named.partition("=")
    try:
        answer = await fetch.get(url + STATUS)
        status = msgspec.json.decode(answer.body, type=_Status)
    except MonitoringError as error:
        advice = f"start it, or correct its address or credentials ({HINT}); alerts are still taken if it posts them"
        return Look(findings=(_finding(source, Grade.STOP, str(error), advice),))
    except (msgspec.DecodeError, UnicodeDecodeError):
        advice = f"look whether that is an Alertmanager ({HINT})"
        return Look(findings=(_finding(source, Grade.STOP, "its status cannot be read", advice),))
    version = status.versionInfo.version or "of an unknown version"
    state = status.cluster.get("status", "unknown")
    findings = (
        _finding(source, Grade.OK, f"version {version} answers; its cluster is {state}"),
        _receiver(source, status.config.original),
    )
    return Look(findings=findings, clocks=(Clock(whose=source, ahead_s=(answer.at - now).total_seconds()),))


def _receiver(source: str, config: str) -> Finding:
    """Look for ourselves in the configuration that Alertmanager tells; newer versions mask all addresses."""
    if HOOK in config:
        if _RESOLVED_OFF.search(config):
            advice = "set send_resolved: true: without it no recovery is told"
            return _finding(source, Grade.GAP, f"a receiver posts to {HOOK} and may not send what is resolved", advice)
        return _finding(source, Grade.OK, f"a receiver posts to {HOOK}")
    if _MASKED.search(config):
        advice = f"look yourself whether one is .../{HOOK.removeprefix('/')} (docs/how-to/connect-alertmanager.md)"
        return _finding(source, Grade.NOTE, "it masks the addresses of its webhooks, so ours cannot be seen", advice)
    advice = "add one (docs/how-to/connect-alertmanager.md), unless a proxy calls it otherwise"
    return _finding(source, Grade.GAP, f"no receiver posts to {HOOK}: no alert comes from here by webhook", advice)


def _finding(what: str, grade: Grade, found: str, advice: str = "") -> Finding:
    return Finding(area=AREA, what=what, grade=grade, found=found, advice=advice)
