"""The record: appending to it, and reading it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from remediator.model.entry import Entry, NewEntry
from remediator.model.incident import Incident
from remediator.model.undo import Former


class LedgerQuery(Struct, frozen=True, kw_only=True):
    """Which entries: after a number, since a time, of one incident or action; at most ``limit``, oldest first."""

    after: int = 0
    since: datetime | None = None
    incident: int | None = None
    action: int | None = None
    limit: int = 500


class LedgerWriter(Protocol):
    """Appends."""

    async def append(self, *entries: NewEntry) -> None:
        """Append entries in one commit."""
        ...


class Alarm(Protocol):
    """Calls people about what belongs to no incident."""

    async def call_once(self, entry: NewEntry, within_s: float) -> bool:
        """Append ``entry`` and tell people what it says, unless one of its kind is younger than ``within_s`` seconds.

        Tells whether that was done. Of several replicas that call at once, one does.
        """
        ...


class RuleSets(Protocol):
    """Keeps every rule set ever loaded."""

    async def keep_rule_set(
        self, digest: str, files: dict[str, str], entry: NewEntry, *, perhaps_kept: bool = False
    ) -> None:
        """Keep the files of a rule set under its digest (none: "") with the entry that tells of it, in one commit.

        ``perhaps_kept``: an earlier call with this entry ended without a word. Then nothing is written if there is one
        of its kind that happened at the same moment (``happened_at`` of its data).
        """
        ...


class LedgerReader(Protocol):
    """Reads; nothing here takes a lock."""

    async def entries(self, query: LedgerQuery) -> tuple[Entry, ...]:
        """Return entries in the order of the ledger."""
        ...

    async def incident(self, number: int) -> Incident | None:
        """Return one incident."""
        ...

    async def incidents(self, *, open_only: bool, limit: int) -> tuple[Incident, ...]:
        """Return incidents, newest first."""
        ...

    async def action(self, number: int) -> dict[str, Any] | None:
        """Return one action's row as plain data (plan, state, before-image, times)."""
        ...

    async def actions_of(self, incident: int) -> tuple[dict[str, Any], ...]:
        """Return the actions of one incident as plain data, oldest first."""
        ...

    async def asked(self, limit: int) -> tuple[dict[str, Any], ...]:
        """Return the actions that wait for a person's answer as plain data, oldest first."""
        ...

    async def evidence_of(self, incident: int) -> tuple[dict[str, Any], ...]:
        """Return what evidence an incident has (id, captured_at, sha256, size...), without the content."""
        ...

    async def evidence(self, number: int) -> dict[str, Any] | None:
        """Return one bundle of evidence with its content."""
        ...

    async def counts(self) -> dict[str, Any]:
        """Return the figures of ``remediator status``: what waits where, open incidents, actions by state."""
        ...


class Undos(Protocol):
    """Where a person asks for an action to be undone."""

    async def former(self, number: int) -> Former | None:
        """Return the action as it stands; None where there is none of that number."""
        ...

    async def ask(self, former: Former, *, actor: str, reason: str) -> bool:
        """Put the wish where the daemon finds it, with its ledger entry; False: it is there already."""
        ...


class Approvals(Protocol):
    """Where a person answers an action that waits."""

    async def answer(self, number: int, *, approved: bool, actor: str, reason: str) -> bool:
        """Record a yes or a no; False if the action does not wait for one. A yes has its rung decided anew."""
        ...
