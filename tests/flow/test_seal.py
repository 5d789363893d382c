"""Sealing and the patrol, on the real ledger and a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec import structs

from remediator.adapters.checkpoints import CheckpointFile
from remediator.adapters.ledger.pool import LedgerPools
from remediator.adapters.ledger.queries import QUERIES
from remediator.adapters.ledger.record import LedgerAppender
from remediator.adapters.ledger.rows import entries_json
from remediator.adapters.ledger.seals import LedgerRecords, LedgerSeals
from remediator.adapters.observer import _level
from remediator.flow import patrol, seal
from remediator.flow.patrol import Patrol
from remediator.flow.seal import BATCH, Sealer
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import InvariantBroken, PortError
from remediator.model.seal import Checkpoint
from remediator.ports.observer import StageEvent
from remediator.ports.seals import Look, SealStore
from tests.adapters.ledger.forging import Owner, forge
from tests.fakes.clock import StillClock
from tests.flow.rig import Ear

ENTRY = NewEntry(kind=EntryKind.STARTED, summary="started")


@dataclass
class Stand:
    """A sealer and a patrol, what they say, and the ledger they look after."""

    store: LedgerSeals
    records: LedgerRecords
    appender: LedgerAppender
    folder: Path
    ear: Ear = field(default_factory=Ear)
    clock: StillClock = field(default_factory=StillClock)
    sealing: list[tuple[float, bool]] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """Where checkpoints are kept."""
        return self.folder / "kept" / "checkpoints.jsonl"

    def sealer(self, store: SealStore | None = None, file: Path | None = None) -> Sealer:
        """Return a sealer, as a daemon makes it at its start."""
        return Sealer(
            store=store or self.store,
            anchors=CheckpointFile(file or self.file),
            clock=self.clock,
            observer=self.ear,
            owner="me",
            gauge=lambda unsealed_s, whole: self.sealing.append((unsealed_s, whole)),
        )

    def patrol(self) -> Patrol:
        """Return a patrol that begins its first round."""
        return Patrol(reader=self.records, clock=self.clock, observer=self.ear, gauge=self.faults.append)

    async def append(self, count: int = 1) -> None:
        """Write entries down."""
        await self.appender.append(*[ENTRY] * count)

    def heard(self, outcome: str, stage: str = "seal") -> list[dict[str, Any]]:
        """Return the fields of the events of one outcome."""
        return [event.fields for event in self.ear.events if (event.stage, event.outcome) == (stage, outcome)]


@pytest.fixture
def stand(pools: LedgerPools, tmp_path: Path) -> Stand:
    """Everything on a fresh database."""
    return Stand(
        store=LedgerSeals(pools.stages),
        records=LedgerRecords(pools.read),
        appender=LedgerAppender(pools.stages),
        folder=tmp_path,
    )


@pytest.fixture
async def owner(database: str) -> AsyncIterator[Owner]:
    """A connection of the schema's owner."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def begin_again(one: Sealer) -> None:
    """Let a sealer begin as a daemon's start does, up to its first look."""
    await one.recall()
    await one.step()


async def test_everything_is_sealed_and_a_checkpoint_is_kept(stand: Stand) -> None:
    """More than one batch at once; the log and the file have the same words, and nobody else may read the file."""
    await stand.append(2 * BATCH + 1)
    assert await stand.sealer().step() is False
    seals = await stand.records.seals(0, 10)
    assert [len(one.seqs) for one in seals] == [BATCH, BATCH, 1]
    (told,) = stand.heard("checkpoint")
    kept = await CheckpointFile(stand.file).last()
    assert kept is not None
    assert told == {
        "seal": 3,
        "seq": 2 * BATCH + 1,
        "hash": seals[2].hash.hex(),
        "sealed_at": seals[2].sealed_at.isoformat(),
    }
    assert (kept.seal, kept.seq, kept.hash, kept.sealed_at.isoformat()) == tuple(told.values())
    assert stand.file.stat().st_mode & 0o777 == 0o600


async def test_nothing_is_sealed_over_a_transaction_that_may_bring_an_earlier_entry(
    stand: Stand, database: str
) -> None:
    """It is waited for, however many others commit; what comes meanwhile is not waited for again."""
    late, later = await asyncpg.connect(database), await asyncpg.connect(database)
    sealer = stand.sealer()
    try:
        for connection in (late, later):
            await connection.execute("BEGIN")
            await stand.append()
            await connection.execute(QUERIES["append_entries"], entries_json([ENTRY]))
            if connection is late:
                assert await sealer.step() is True
                assert await sealer.step() is True
        assert await stand.records.seals(0, 10) == ()
        await late.execute("COMMIT")
        assert await sealer.step() is False
        # Up to what was there at the first look: 1; 2 came with the late one, which was under way then.
        assert [one.seqs for one in await stand.records.seals(0, 10)] == [(1,)]
        assert await sealer.step() is True
        await later.execute("ROLLBACK")
        assert await sealer.step() is False
        assert [one.seqs for one in await stand.records.seals(1, 10)] == [(2, 3)]
    finally:
        await late.close()
        await later.close()


async def test_a_prepared_transaction_is_waited_for_whatever_its_name(stand: Stand) -> None:
    """It goes on under another one, so nobody can tell whether it is one of those that are waited for."""
    await stand.append()
    store = Prepared(stand.store)
    sealer = stand.sealer(store=store)
    assert [await sealer.step(), await sealer.step()] == [True, True]
    store.prepared = False
    assert await sealer.step() is False
    assert len(await stand.records.seals(0, 10)) == 1


@dataclass
class Prepared:
    """A store on a table that a prepared transaction has written to, as long as ``prepared``."""

    store: LedgerSeals
    prepared: bool = True
    looks: int = 0

    async def look(self, known: int) -> Look:
        """Look, and see a name of its kind: another one each time."""
        found = await self.store.look(known)
        self.looks += 1
        return structs.replace(found, writers=frozenset({f"-1/{self.looks}"})) if self.prepared else found

    async def seal(self, *given: Any) -> Any:
        """Seal."""
        return await self.store.seal(*given)


async def test_checkpoints_come_by_number_or_by_time(stand: Stand) -> None:
    """A thousand entries or five minutes after the last, and none where nothing came."""
    sealer = stand.sealer()
    await stand.append()
    await sealer.step()
    await stand.append()
    await sealer.step()
    assert len(stand.heard("checkpoint")) == 1
    stand.clock.ahead += seal.CHECKPOINT_EVERY_S
    await sealer.step()
    assert [told["seal"] for told in stand.heard("checkpoint")] == [1, 2]
    stand.clock.ahead += seal.CHECKPOINT_EVERY_S
    await sealer.step()
    await stand.append(seal.CHECKPOINT_ENTRIES)
    await sealer.step()
    assert [told["seq"] for told in stand.heard("checkpoint")] == [1, 2, 1002]


async def test_the_last_thing_is_a_checkpoint(stand: Stand) -> None:
    """What a daemon writes down at its end is sealed and kept, however short ago the last checkpoint was."""
    sealer = stand.sealer()
    await stand.append()
    await sealer.step()
    await stand.append()
    await sealer.finish(20.0)
    assert [told["seq"] for told in stand.heard("checkpoint")] == [1, 2]


async def test_the_end_is_not_content_with_what_was_set_out_to_be_sealed(stand: Stand, database: str) -> None:
    """A look that waited for a writer when the end came knows nothing of the entries since."""
    other = await asyncpg.connect(database)
    sealer = stand.sealer()
    try:
        await other.execute("BEGIN")
        await other.execute(QUERIES["append_entries"], entries_json([ENTRY]))
        await stand.append()
        assert await sealer.step() is True
        await other.execute("COMMIT")
    finally:
        await other.close()
    await stand.append()
    await sealer.finish(20.0)
    assert [told["seq"] for told in stand.heard("checkpoint")] == [3]


async def test_the_end_is_not_kept_up(stand: Stand, database: str) -> None:
    """A transaction that does not end is waited for so long, and then it is said so."""
    other = await asyncpg.connect(database)
    try:
        await other.execute("BEGIN")
        await other.execute(QUERIES["append_entries"], entries_json([ENTRY]))
        await stand.append()
        await stand.sealer().finish(0.2)
    finally:
        await other.close()
    assert stand.heard("late") == [{"after_s": 0.2}]


@pytest.mark.parametrize(
    "cut", ["DELETE FROM remediator.seals WHERE number = 2", "DELETE FROM remediator.seals"], ids=["one", "all"]
)
async def test_a_chain_that_is_cut_short_is_told_while_it_runs(stand: Stand, owner: Owner, cut: str) -> None:
    """Entries and their seals are gone together, so the rest is a good chain; but this replica has seen more."""
    sealer = stand.sealer()
    for _ in range(2):
        await stand.append()
        await sealer.step()
    await forge(owner, cut, "DELETE FROM remediator.ledger")
    await sealer.step()
    (told,) = stand.heard("tampered")
    assert "seal 2 (entry 2) is gone" in told["detail"]
    assert told["seq"] == 2
    assert stand.sealing[-1][1] is False


async def test_a_cut_is_told_again_and_again_and_new_entries_are_sealed(stand: Stand, owner: Owner) -> None:
    """Once a minute, for ever: new seals do not make it good. And no checkpoint speaks for such a chain."""
    sealer = stand.sealer()
    await stand.append()
    await sealer.step()
    await forge(owner, "DELETE FROM remediator.seals", "DELETE FROM remediator.ledger")
    for _ in range(3):
        await stand.append()
        await sealer.step()
        stand.clock.ahead += seal.TELL_AGAIN_S / 2
    assert len(stand.heard("tampered")) == 2
    assert "has another hash" in stand.heard("tampered")[1]["detail"]
    assert (await stand.records.unsealed((await stand.records.seals(0, 10))[-1].upto)).count == 0
    stand.clock.ahead += seal.CHECKPOINT_EVERY_S
    await sealer.step()
    await sealer.finish(5.0)
    assert len(stand.heard("checkpoint")) == 1


async def test_what_an_earlier_life_saw_counts(stand: Stand, owner: Owner) -> None:
    """The checkpoint file tells a daemon that starts what the chain was like before."""
    await stand.append()
    await stand.sealer().finish(5.0)
    await begin_again(stand.sealer())
    assert stand.heard("tampered") == []
    await forge(owner, "DELETE FROM remediator.seals", "UPDATE remediator.ledger SET summary = 'forged'")
    await stand.sealer(file=stand.folder / "elsewhere").step()
    assert stand.heard("tampered") == []
    await begin_again(stand.sealer())
    (told,) = stand.heard("tampered")
    assert "seal 1 (entry 1) has another hash" in told["detail"]


async def test_entries_that_wait_too_long_for_their_seal_are_told(stand: Stand, owner: Owner, database: str) -> None:
    """Once a minute, with how long; the gauge has it all the time."""
    await stand.append()
    await forge(owner, "UPDATE remediator.ledger SET at = now() - interval '70 s'")
    sealer = stand.sealer()
    other = await asyncpg.connect(database)
    try:
        await other.execute("BEGIN")
        await other.execute(QUERIES["append_entries"], entries_json([ENTRY]))
        for _ in range(2):
            await sealer.step()
        assert stand.heard("late") == [{"waiting_s": 70, "writers": 1}]
        assert all(70 <= waiting <= 100 for waiting, _ in stand.sealing)
    finally:
        await other.close()
    await sealer.step()
    await sealer.step()
    assert stand.sealing[-1] == (0, True)


@dataclass
class Failing:
    """A store that cannot be used for a while."""

    store: LedgerSeals
    failures: list[PortError]

    async def look(self, known: int) -> Any:
        """Fail, or look."""
        if self.failures:
            raise self.failures.pop()
        return await self.store.look(known)

    async def seal(self, *given: Any) -> Any:
        """Seal."""
        return await self.store.seal(*given)


async def test_trouble_is_told_and_waited_for(stand: Stand) -> None:
    """An outage of the database keeps nothing from being sealed later."""
    await stand.append()
    failing = Failing(stand.store, [PortError("unavailable", "gone", retryable=True)] * 3)
    sealer = stand.sealer(store=failing)
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(20):
        running = tasks.create_task(sealer.run())
        while not await stand.records.seals(0, 1):
            await asyncio.sleep(0)
        running.cancel()
    assert stand.heard("trouble") == [{"error": "unavailable: gone"}] * 3


async def test_a_bug_is_not_waited_for(stand: Stand) -> None:
    """A statement that cannot work ends the daemon."""
    failing = Failing(stand.store, [PortError("bug", "no such table")])
    with pytest.raises(InvariantBroken):
        await stand.sealer(store=failing).run()


async def test_a_file_that_cannot_be_written_stops_nothing(stand: Stand) -> None:
    """The log has the checkpoint; and it is said that the file has not."""
    await stand.append()
    (stand.folder / "kept").touch()
    sealer = stand.sealer()
    await sealer.step()
    assert len(stand.heard("checkpoint")) == 1
    (told,) = stand.heard("trouble")
    assert "checkpoints cannot be kept here" in told["error"]
    await begin_again(stand.sealer())
    assert len(stand.heard("trouble")) == 3


async def test_the_patrol_finds_what_was_changed(stand: Stand, owner: Owner) -> None:
    """Stretch by stretch; found once, it stays told."""
    for _ in range(6):
        await stand.append()
        await stand.sealer().step()
    watch = stand.patrol()
    ends = [await watch.step() for _ in range(3)]
    assert (ends, stand.faults) == ([False, False, True], [0, 0, 0])
    await forge(owner, "UPDATE remediator.ledger SET summary = 'forged' WHERE seq = 6")
    for _ in range(6):
        await watch.step()
    assert stand.faults[3:] == [0, 1, 1, 1, 1, 1]
    assert len(stand.heard("tampered", "patrol")) == 5
    assert stand.heard("tampered", "patrol")[0]["seq"] == 6


async def test_the_patrol_goes_round_for_ever(stand: Stand, owner: Owner) -> None:
    """Once a minute, also after trouble; and it tells no more than so many faults."""
    await stand.append(30)
    await stand.sealer().step()
    await forge(owner, "UPDATE remediator.ledger SET summary = 'forged'")
    watch = stand.patrol()
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(20):
        running = tasks.create_task(watch.run())
        while not stand.faults:
            await asyncio.sleep(0)
        running.cancel()
    assert stand.clock.ahead >= patrol.EVERY_S
    assert stand.faults[0] == patrol.MOST_TOLD


def test_events_are_as_loud_as_they_should_be() -> None:
    """What the words for levels in adapters.observer come to."""
    levels = {
        outcome: _level(StageEvent(stage="seal", outcome=outcome))
        for outcome in ("sealed", "checkpoint", "late", "trouble", "tampered")
    }
    assert levels == {"sealed": 10, "checkpoint": 20, "late": 30, "trouble": 30, "tampered": 40}


async def test_a_checkpoint_is_read_back_from_the_file(tmp_path: Path, stand: Stand) -> None:
    """The newest; half a line, which a crash leaves, is none."""
    anchors = CheckpointFile(tmp_path / "a" / "b")
    assert await anchors.last() is None
    await stand.append(3)
    made = []
    for upto in (1, 2):
        one = await stand.store.seal(upto, 10, seal.maker("me"))
        assert one is not None
        made.append(Checkpoint(seal=one.number, seq=one.upto, hash=one.hash.hex(), sealed_at=one.sealed_at))
        await anchors.keep(made[-1])
    assert await anchors.last() == made[1]
    with (tmp_path / "a" / "b").open("a") as file:
        file.write('{"seal":3,"seq":3,"ha')
    assert await anchors.last() == made[1]
