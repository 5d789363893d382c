"""The durable inbox: deliveries that arrive together share one commit, and nobody is told "taken" before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeAlias

import asyncpg

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.errors import LedgerReason, ledger_error
from remediator.adapters.ledger.group_commit import GroupCommit, GroupLimits
from remediator.adapters.ledger.pool import Connection, LedgerPool, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.signal import Delivery, Quarantined, Receipt, Signal

Fact = tuple[str, str, str, datetime]
Deliveries: TypeAlias = GroupCommit[Delivery, Receipt]


class LedgerInbox:
    """Implements ports.inbox.Inbox. ``limit`` bounds the signals that may wait to be matched."""

    def __init__(self, pool: LedgerPool, commits: Deliveries, *, limit: int) -> None:
        """Work on ``pool``; ``commits`` must be running."""
        self._pool = pool
        self._commits = commits
        self._limit = limit
        self.waiting = 0
        self.oldest_s = 0.0
        self._arriving = 0

    async def accept(self, delivery: Delivery) -> Receipt:
        """Store a delivery; return after COMMIT."""
        size = len(delivery.signals)
        if self.waiting + self._arriving + size > self._limit:
            there = f"{self.waiting} signals wait to be matched and {self._arriving} are being stored"
            raise ledger_error(LedgerReason.FULL, f"{there}; the limit is {self._limit}")
        self._arriving += size
        try:
            receipt = await self._commits.put(delivery)
        finally:
            self._arriving -= size
        self.waiting += receipt.new
        return receipt

    async def measure(self) -> None:
        """Count anew what waits (several replicas put and take); called every second or so."""
        async with transaction(self._pool) as connection:
            row = await connection.fetchrow(QUERIES["count_waiting"], self._limit + 1)
        if row is not None:
            self.waiting, self.oldest_s = row["waiting"], row["oldest_s"]


def deliveries_together(pool: LedgerPool, *, seconds: float = 5.0) -> Deliveries:
    """Return the group commit of deliveries on ``pool``; somebody has to run it. Nobody waits more than ``seconds``."""
    return GroupCommit(
        pool,
        write_deliveries,
        size=_size,
        limits=GroupLimits(seconds=seconds, writers=2),
        is_one_statement=_is_one_statement,
    )


def _size(delivery: Delivery) -> int:
    """Return about how many bytes a delivery takes."""
    return 256 + 1024 * (len(delivery.signals) + len(delivery.quarantined))


def _is_one_statement(deliveries: Sequence[Delivery]) -> bool:
    """Whether ``write_deliveries`` sends no more than one statement: nothing is put aside or told in the ledger."""
    return not any(delivery.quarantined or delivery.truncated for delivery in deliveries)


async def write_deliveries(connection: Connection, deliveries: Sequence[Delivery]) -> list[Receipt]:
    """Store many deliveries at once. A fact that two of them bring counts as new for the first.

    Other replicas are not told: this one rings its own bell, and waits for one that is matching already. Where it dies
    in between, the others' polls find what it stored.
    """
    facts: dict[Fact, Signal] = {}
    owners: dict[Fact, int] = {}
    for place, delivery in enumerate(deliveries):
        for signal in delivery.signals:
            fact: Fact = (signal.source, signal.fingerprint, signal.status, signal.starts_at)
            if fact not in facts:
                facts[fact] = signal
                owners[fact] = place
            elif signal.confirmed_at is not None:
                facts[fact] = signal
    new = [0] * len(deliveries)
    if facts:
        # In one order everywhere: two replicas that store the same alerts would otherwise deadlock.
        ordered = [facts[fact] for fact in sorted(facts)]
        for new_fact in _new(await _put(connection, ordered), facts):
            new[owners[new_fact]] += 1
    await _put_aside(connection, deliveries)
    return [
        Receipt(new=count, known=len(delivery.signals) - count, quarantined=len(delivery.quarantined))
        for count, delivery in zip(new, deliveries, strict=True)
    ]


def _new(told: asyncpg.Record, facts: dict[Fact, Signal]) -> Iterable[Fact]:
    """Return which of the facts were new: mostly all of them or none, and then nothing had to be sent back."""
    if told["some"]:
        return zip(told["sources"], told["fingerprints"], told["statuses"], told["starts"], strict=True)
    return facts if told["fresh"] else ()


async def _put(connection: Connection, signals: list[Signal]) -> asyncpg.Record:
    # One JSON text costs a third of what ten arrays do, and the server as much as before.
    (told,) = await connection.fetch(QUERIES["put_signals"], rows.as_json(signals), len(signals))
    return told


async def _put_aside(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    """Keep what could not be used, and say in the ledger that it was not used."""
    aside = [(delivery.source, bad) for delivery in deliveries for bad in delivery.quarantined]
    entries = [_quarantined(source, bad) for source, bad in aside]
    entries += [_truncated(delivery) for delivery in deliveries if delivery.truncated]
    if aside:
        await connection.execute(
            QUERIES["put_quarantine"],
            [source for source, _ in aside],
            [bad.path for _, bad in aside],
            [bad.reason for _, bad in aside],
            [bad.raw for _, bad in aside],
        )
    if entries:
        await connection.execute(QUERIES["append_entries"], rows.entries_json(entries))


def _quarantined(source: str, bad: Quarantined) -> NewEntry:
    return NewEntry(
        kind=EntryKind.SIGNAL_QUARANTINED,
        summary=f"an alert could not be used and was put aside: {bad.path}: {bad.reason}",
        data={"source": source, "path": bad.path, "reason": bad.reason},
    )


def _truncated(delivery: Delivery) -> NewEntry:
    return NewEntry(
        kind=EntryKind.SIGNALS_TRUNCATED,
        summary=f"Alertmanager left {delivery.truncated} alerts out of a notification: set max_alerts to 0 there",
        data={"source": delivery.source, "group_key": delivery.group_key, "truncated": delivery.truncated},
    )
