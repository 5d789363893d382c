"""Which function stands for which named statement of remediator/adapters/ledger/sql."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.simulation.tables import Database, Row, Session

Run = Callable[..., list[Row]]


@dataclass(frozen=True, slots=True)
class Statement:
    """``writes``: it changes or locks rows, so its transaction goes on to its end without a pause."""

    run: Callable[..., list[Row]]
    writes: bool


STATEMENTS: dict[str, Statement] = {}


def statement(*, writes: bool = False) -> Callable[[Run], Run]:
    """Let a function stand for the statement of its name."""

    def register(function: Run) -> Run:
        STATEMENTS[function.__name__] = Statement(function, writes)
        return function

    return register


def run(name: str, db: Database, session: Session, *values: Any) -> list[Row]:
    """Run one statement."""
    found = STATEMENTS[name]
    session.wrote = session.wrote or found.writes
    return found.run(db, session, *values)
