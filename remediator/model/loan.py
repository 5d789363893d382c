"""What an action has lent a workload, and when it may go back."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class LoanState(StrEnum):
    """Lent; on its way back (a step is being decided or carried out); returned; or kept, for it is somebody else's."""

    LENT = "lent"
    RETURNING = "returning"
    RETURNED = "returned"
    KEPT = "kept"


class Step(Struct, frozen=True, kw_only=True):
    """How far one step of a return has come.

    ``waits``: it is still to be decided. ``reasons``: why it was held. ``action`` is what it became, None for nothing;
    ``state`` how that stands, and ``final`` whether everything was back then.
    """

    waits: bool
    reasons: tuple[str, ...] = ()
    action: int | None = None
    state: str = ""
    note: str = ""
    final: bool = False
    tries: int = 0


class Move(Struct, frozen=True, kw_only=True):
    """What becomes of a loan: looked at again after ``wait_s`` seconds. ``last`` is the action whose write stands."""

    state: LoanState
    wait_s: float
    last: int | None = None
    tries: int = 0
    note: str = ""


class Loan(Struct, frozen=True, kw_only=True):
    """One loan, as people read it."""

    action: int
    target_key: str
    state: LoanState
    return_at: datetime
    summary: str
    note: str = ""
