"""The one shape that every check has: what it wants to see, and what it makes of that. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from msgspec import Struct

from remediator.actions.shape import Parameters, Permission, no_faults
from remediator.model.look import Findings, Look, Unseen
from remediator.model.report import Cell, Report, Table, Verdict
from remediator.model.target import Target

MOST_ROWS = 200
"""A report is for reading: so many rows of a table are shown, and how many more there are."""


class Subject(Struct, frozen=True, kw_only=True):
    """What a check is about. ``namespace`` "" means the whole cluster; ``target`` and ``database`` where one is named.

    ``now`` is the moment of the check.
    """

    now: datetime
    namespace: str = ""
    target: Target | None = None
    database: str = ""


Wants = Callable[[Subject, Any, Findings], tuple[Look, ...]]
"""From what was seen already to what is still wanted; () when nothing is. Asked again after each round of looks."""
Judge = Callable[[Subject, Any, Findings], Report]
"""From all that was seen to the report."""


class CheckType(Struct, frozen=True, kw_only=True):
    """One check: its name, the section of the runbook that it is from, what it takes, needs, wants and concludes.

    ``parameters`` and ``faults`` are as those of an action. ``permissions`` are reads, all of them.
    """

    name: str
    title: str
    section: str
    permissions: tuple[Permission, ...]
    wants: Wants
    judge: Judge
    parameters: type[Parameters] = Parameters
    faults: Callable[[Any], tuple[str, ...]] = no_faults


def table(title: str, columns: tuple[str, ...], rows: list[tuple[Cell, ...]]) -> Table:
    """Return a table of as many rows as people read."""
    return Table(title=title, columns=columns, rows=tuple(rows[:MOST_ROWS]), more=max(0, len(rows) - MOST_ROWS))


def unseen(findings: Findings) -> tuple[str, ...]:
    """Return a sentence for everything that could not be looked at."""
    return tuple(f"{look}: {found.message}" for look, found in findings.items() if isinstance(found, Unseen))


def verdict(findings: Findings, *, wrong: bool) -> Verdict:
    """Return the verdict: what is wrong is wrong, however little was seen; all well takes seeing everything."""
    if wrong:
        return Verdict.ATTENTION
    return Verdict.UNKNOWN if unseen(findings) else Verdict.OK
