"""The execute and verify stages' brackets: every move of an action is one commit, guarded by its fence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct, field

from remediator.model.action import Action, ActionState, BeforeImage
from remediator.model.entry import NewEntry
from remediator.model.undo import Former


class Claim(Struct, frozen=True, kw_only=True):
    """An action that is ours until the lease ends.

    ``found_in`` is the state it was in: admitted, or left by a dead owner. ``tries`` counts the incident's actions on
    this rung, this one included. ``approved``: a person said yes to this very plan.
    """

    action: Action
    found_in: ActionState
    before: BeforeImage | None
    firing: bool
    now: datetime
    has_evidence: bool = False
    tries: int = 1
    approved: bool = False


class Standing(Struct, frozen=True, kw_only=True):
    """How an action stands when its lease is renewed: whether an alert of its incident fires, and the moment.

    ``paused`` says who has paused it and why; empty where nobody has.
    """

    firing: bool
    now: datetime
    paused: str = ""


class NextRung(Struct, frozen=True, kw_only=True):
    """The ladder goes on."""

    rung: int


class CallPeople(Struct, frozen=True, kw_only=True):
    """The machine has done what it may."""

    message: str


class Recovered(Struct, frozen=True, kw_only=True):
    """The incident is over."""

    message: str


class Nothing(Struct, frozen=True, kw_only=True):
    """What comes next is already in motion."""


class Settled(Struct, frozen=True, kw_only=True):
    """Nothing comes after it, whatever fires: it was a person's wish."""


Successor = NextRung | CallPeople | Recovered | Nothing | Settled


class Conclusion(Struct, frozen=True, kw_only=True):
    """An action leaves the machine: its last state, the entries that tell of it, and what comes after.

    ``say`` is a message to people that the action itself consists of, where the ladder goes on after it. ``undo``: why
    what it has changed is to be taken back at once, "" if it is not.
    """

    number: int
    fence: int
    state: ActionState
    note: str
    entries: tuple[NewEntry, ...]
    successor: Successor = field(default_factory=Nothing)
    say: str = ""
    undo: str = ""

    @property
    def incident(self) -> int | None:
        """Return the incident that its entries tell of."""
        return self.entries[0].incident if self.entries else None


class Due(Struct, frozen=True, kw_only=True):
    """An applied action whose effect is to be looked at. ``firing`` counts the incident's alerts that still fire."""

    action: Action
    firing: int
    quiet_since: datetime | None
    now: datetime
    ready_before: int | None = None
    tries: int = 1


class NextLook(Struct, frozen=True, kw_only=True):
    """When to look again at an applied action, and since when its incident has been quiet."""

    number: int
    fence: int
    check_at: datetime
    quiet_since: datetime | None = None


class ActionStore(Protocol):
    """Each method tells whether the fence was still ours; False means that another owner has taken over: stop."""

    async def claim(self, limit: int, owner: str, lease_s: float) -> tuple[Claim, ...]:
        """Take admitted actions, and those whose owner's lease has ended; fence and attempts of each rise."""
        ...

    async def renew(self, number: int, fence: int, lease_s: float) -> Standing | None:
        """Hold on to an action for longer, and learn how it stands; None: it is another owner's, or has ended."""
        ...

    async def dispatched(self, number: int, fence: int, before: BeforeImage, entry: NewEntry) -> bool:
        """Write down that the write is about to be sent, with the object as it is.

        False also where there is no reason for it in that moment: no alert of the incident fires, the decision is past
        its shelf life, or somebody has paused it: ``renew`` tells which. Or the object carries the mark of an action
        that ``knows`` does not know.
        """
        ...

    async def knows(self, action_id: str) -> bool:
        """Tell whether a mark on an object is that of an action in this ledger."""
        ...

    async def in_doubt(self, number: int, fence: int, entry: NewEntry) -> bool:
        """Write down that nobody knows whether the write was stored."""
        ...

    async def applied(self, number: int, fence: int, entry: NewEntry) -> bool:
        """Write down that the write was stored; its verification begins."""
        ...

    async def conclude(self, conclusion: Conclusion) -> bool:
        """End the action and set in motion what comes next, in one commit."""
        ...

    async def former(self, number: int) -> Former | None:
        """Return an action that is to be undone, as it stands; None where there is no such action."""
        ...

    async def due(self, limit: int, lease_s: float) -> tuple[Due, ...]:
        """Take applied actions whose next look is due, for ``lease_s`` seconds."""
        ...

    async def look_again(self, looks: Sequence[NextLook]) -> frozenset[int]:
        """Set the times of next looks; return the numbers of the actions that are still ours to look at."""
        ...


class EvidenceStore(Protocol):
    """Where evidence is kept."""

    async def keep(
        self, incident: int, action: int, target_key: str, parts: dict[str, Any], notes: dict[str, Any]
    ) -> str:
        """Store one bundle and its ledger entry; return its SHA-256."""
        ...
