"""What a check has found: a verdict, tables for people who would rather look than read, and what to do."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

Cell = str | int | float | None


class Verdict(StrEnum):
    """All well; something that a person should look at; or not enough could be seen to say either."""

    OK = "ok"
    ATTENTION = "attention"
    UNKNOWN = "unknown"


class Table(Struct, frozen=True, kw_only=True):
    """One table: as many cells in each row as there are columns. ``more`` rows were left out."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...] = ()
    more: int = 0


class Report(Struct, frozen=True, kw_only=True):
    """One check's answer. ``summary`` is one sentence with the number that matters; ``advice`` what to do, in order.

    ``unseen``: what could not be looked at, and why. With anything in it the verdict is never ``ok``.
    """

    check: str
    verdict: Verdict
    summary: str
    tables: tuple[Table, ...] = ()
    advice: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
