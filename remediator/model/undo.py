"""An action that is to be undone: what it wrote, what was there before, and what has happened to it since."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from remediator.model.action import ActionState, BeforeImage
from remediator.model.database import RunStatement
from remediator.model.owners import Lever
from remediator.model.plan import Plan
from remediator.model.target import Target

Path = tuple[str, ...]


class Former(Struct, frozen=True, kw_only=True):
    """An action as the ledger has it.

    ``before`` is the object as it was when the write was sent, ``applied_at`` when it was stored (None: it never was).
    ``undone_by`` is the number of an action that undoes it, or has.
    """

    number: int
    id: str
    incident: int
    rule: str
    state: ActionState
    target: Target
    plan: Plan
    before: BeforeImage | None = None
    applied_at: datetime | None = None
    undone_by: int | None = None


class Returned(Struct, frozen=True, kw_only=True):
    """One value that is brought back: what the action had written, and what was there before (None: nothing)."""

    path: Path
    ours: Any
    former: Any


class Difference(Struct, frozen=True, kw_only=True):
    """One place of an object that is not as the action left it; a value that is not there is None."""

    path: Path
    ours: Any
    theirs: Any


class Undoing(Struct, frozen=True, kw_only=True):
    """What undoing an action comes to on the object as it is now; ``mark`` is the action's id.

    ``differences``: what others have changed since. ``obstacle``: why it cannot be undone at all. ``through``: the
    object that was written to, where it was not the target itself. ``statement``: what is run in a database instead.
    ``by_name``: the lists among what was written are merged by name. ``loan``: the action that lent what goes
    back by itself; ``final``: nothing of it is lent any more afterwards; ``uneasy``: why nobody knows
    that it is not needed any more.
    """

    action: int
    mark: str
    returned: tuple[Returned, ...] = ()
    differences: tuple[Difference, ...] = ()
    obstacle: str = ""
    through: Lever | None = None
    loan: int | None = None
    final: bool = True
    uneasy: str = ""
    statement: RunStatement | None = None
    by_name: bool = False
