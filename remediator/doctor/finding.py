"""What a look came to: one line for a person, with what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from enum import StrEnum

from remediator.model.errors import ConfigError, PortError

CHECK_S = 12.0
"""So long one area may take, in seconds; all are looked at at once."""


class Grade(StrEnum):
    """How bad it is. ``stop``: remediator, or a part of it that was asked for, cannot work."""

    OK = "ok"
    NOTE = "note"
    GAP = "gap"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``area``: what was looked at; ``what``: which part of it; ``found`` and ``advice``: sentences without an end."""

    area: str
    what: str
    grade: Grade
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How far the clock of another machine is ahead of ours, in seconds."""

    whose: str
    ahead_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Everything that one area came to."""

    findings: tuple[Finding, ...]
    clocks: tuple[Clock, ...] = ()


async def bounded(area: str, looking: Awaitable[Look], seconds: float = CHECK_S) -> Look:
    """Return what a look comes to; that it took too long, or failed, is a finding as well."""
    try:
        async with asyncio.timeout(seconds):
            return await looking
    except TimeoutError:
        found, advice = f"no answer within {seconds:g} s", "look whether it hangs, and what is between it and this host"
    except ConfigError as error:
        found, advice = "; ".join(error.problems), "correct the setting"
    except PortError as error:
        found, advice = str(error), "look whether it runs and can be reached from this host"
    return Look(findings=(Finding(area=area, what="reachable", grade=Grade.STOP, found=found, advice=advice),))
