"""The assess and admit stages' brackets: candidates out, then decisions in, under one advisory lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from remediator.model.case import AdmissionBatch, Assessed, Outlook, Ruling, Scope
from remediator.model.entry import NewEntry
from remediator.model.incident import Candidate


class Writ(Struct, frozen=True, kw_only=True):
    """What the transaction writes for one ruling.

    ``entry`` is the ledger's, to be completed with the numbers of the incident and the action. ``incident`` tells
    whether the ruling belongs to an incident (an open one of the target, else a new one under ``title``), ``people``
    what people are told, if they are.
    """

    ruling: Ruling
    entry: NewEntry
    incident: bool
    title: str
    people: str = ""


class Deliberation(Protocol):
    """The pure core, as the transaction calls it."""

    def scopes(self, items: tuple[Assessed, ...]) -> tuple[Scope, ...]:
        """Say which windows are to be counted."""
        ...

    def outlook(self) -> Outlook:
        """Say how far back to look, and at which alerts about the platform."""
        ...

    def rule(self, batch: AdmissionBatch) -> tuple[Writ, ...]:
        """Rule on every candidate of the batch."""
        ...


class AdmissionReport(Struct, frozen=True, kw_only=True):
    """What was committed: how many of each outcome, and the hold reasons."""

    acts: int = 0
    observed: int = 0
    asked: int = 0
    held: int = 0
    reasons: tuple[str, ...] = ()
    escalated: int = 0


class AdmissionStore(Protocol):
    """Candidates and the one transaction that decides about them."""

    async def take(self, limit: int, lease_s: float) -> tuple[Candidate, ...]:
        """Lease up to ``limit`` candidates that are due, the most severe first. A lease that ends gives them back."""
        ...

    async def admit(self, items: Sequence[Assessed], core: Deliberation) -> AdmissionReport:
        """Decide in one transaction: facts, decisions, actions and entries commit together."""
        ...
