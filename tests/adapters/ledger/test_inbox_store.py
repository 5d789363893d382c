"""The inbox in PostgreSQL: what is new, what is known, what is refused, and what survives the way through jsonb."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from remediator.adapters.ledger.inbox import Deliveries, LedgerInbox, deliveries_together
from remediator.adapters.ledger.matching import LedgerMatchStore
from remediator.adapters.ledger.pool import LedgerPool, LedgerPools
from remediator.model.errors import LedgerError
from remediator.model.signal import AlertState, Delivery, Quarantined, Receipt, Signal, StoredSignal
from remediator.ports.matching import AlertKey, Matched
from tests.adapters.ledger.stand import BEGUN, Owner, accept, column, kinds, over, signal


@pytest.fixture
async def commits(pools: LedgerPools) -> AsyncIterator[Deliveries]:
    """The group commit of deliveries, running."""
    made = deliveries_together(pools.intake)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(made.run())
        yield made
        made.close()


def of(*signals: Signal) -> Delivery:
    """Return a delivery of these facts."""
    return Delivery(source="am", signals=signals, group_key="{}:{}", receiver="remediator")


async def read_back(pool: LedgerPool) -> list[Signal]:
    """Return what the match stage would be given, taking nothing out of the inbox for good."""
    seen: list[Signal] = []

    def judge(signals: tuple[StoredSignal, ...], _: dict[AlertKey, AlertState]) -> Matched:
        seen.extend(stored.signal for stored in signals)
        return Matched(states=(), candidates=(), entries=(), resolved=())

    await LedgerMatchStore(pool).match(10_000, judge)
    return seen


async def test_deliveries_of_one_commit_share_what_is_new(pool: LedgerPool) -> None:
    """A fact that two of them bring is new to the first; what was there before is known to both."""
    assert await accept(pool, of(signal(1))) == [Receipt(new=1, known=0, quarantined=0)]
    found = await accept(pool, of(signal(1), signal(2)), of(signal(2), signal(3)), of(signal(1)))
    assert found == [
        Receipt(new=1, known=1, quarantined=0),
        Receipt(new=1, known=1, quarantined=0),
        Receipt(new=0, known=1, quarantined=0),
    ]


async def test_a_repeat_writes_no_row_and_moves_last_seen_once_a_minute(pool: LedgerPool, owner: Owner) -> None:
    """Repeats come every few minutes for each alert, for days."""
    await accept(pool, of(signal(1)))
    before = await column(owner, "signals", "(id, last_seen_at, xmin)")
    await accept(pool, of(signal(1)))
    assert await column(owner, "signals", "(id, last_seen_at, xmin)") == before
    await owner.execute("UPDATE remediator.signals SET last_seen_at = now() - interval '2 minutes'")
    await accept(pool, of(signal(1)))
    (age,) = await column(owner, "signals", "now() - last_seen_at")
    assert age < timedelta(seconds=30)


async def test_everything_of_a_signal_comes_back_as_it_was(pool: LedgerPool) -> None:
    """Each field, for both states, times far off included."""
    given = [
        signal(1, annotations={"a": "1", "": "empty name"}, generator_url="http://p/g?x=1", group_key="{}:{a}"),
        over(2, receiver="a/b \\ c", starts_at=datetime(1, 1, 2, tzinfo=UTC)),
        over(3, ends_at=datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=UTC)),
    ]
    await accept(pool, of(*given))
    assert sorted(await read_back(pool), key=lambda one: one.fingerprint) == given


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("nul \x00 nul", "nul \ufffd nul"),
        ("half \ud800 a pair", "half \ufffd a pair"),
        ("\udc00\ud800", "\ufffd\ufffd"),
        ("a whole one \U0001f4a5", "a whole one \U0001f4a5"),
        (r"spelt \u0000 and \ud800", r"spelt \u0000 and \ud800"),
        ("\\\x00", "\\\ufffd"),
        ("崩 ё \u202e \x1b[31m \x7f \"'\\", "崩 ё \u202e \x1b[31m \x7f \"'\\"),
    ],
)
async def test_odd_text_in_labels_survives(pool: LedgerPool, text: str, kept: str) -> None:
    """What jsonb cannot hold becomes the replacement character; everything else stays what it was."""
    await accept(pool, of(signal(1, labels={"alertname": text, text: "name"}, annotations={"x": text})))
    (found,) = await read_back(pool)
    assert found.labels == {"alertname": kept, kept: "name"}
    assert found.annotations == {"x": kept}


@pytest.mark.parametrize("field", ["generator_url", "group_key", "receiver"])
@pytest.mark.parametrize("bad", ["\x00", "\ud800"])
async def test_odd_text_of_the_sender_survives(pool: LedgerPool, owner: Owner, field: str, bad: str) -> None:
    """What no text column can hold becomes the replacement character there too."""
    await accept(pool, of(signal(1, **{field: f"a{bad}b"})))
    (row,) = await owner.fetch("SELECT generator_url, group_key, receiver FROM remediator.signals")
    assert row[field] == "a\ufffdb"


# An unknown word fails the check of its column; 12,800 characters without order fit no entry of an index.
LONG = "".join(sha256(bytes([n])).hexdigest() for n in range(200))


@pytest.mark.parametrize("bad", [{"status": "odd"}, {"fingerprint": LONG}], ids=["word", "length"])
async def test_one_delivery_that_the_database_refuses_stands_alone(
    pools: LedgerPools, commits: Deliveries, bad: dict[str, str]
) -> None:
    """Those that share its commit are stored; the one is told that its data is at fault."""
    inbox = LedgerInbox(pools.intake, commits, limit=100)
    async with asyncio.TaskGroup() as tasks:
        good = [tasks.create_task(inbox.accept(of(signal(n)))) for n in range(5)]
        refused = tasks.create_task(told(inbox, of(signal(99, **bad))))
    assert [task.result().new for task in good] == [1] * 5
    assert (refused.result().reason, refused.result().retryable) == ("data", False)
    assert len(await read_back(pools.stages)) == 5


async def told(inbox: LedgerInbox, delivery: Delivery) -> LedgerError:
    """Return what the inbox says against a delivery."""
    with pytest.raises(LedgerError) as caught:
        await inbox.accept(delivery)
    return caught.value


async def test_what_was_put_aside_is_kept_and_said(pool: LedgerPool, owner: Owner) -> None:
    """Each bad alert is a row and a ledger entry; so is what Alertmanager left out."""
    bad = tuple(Quarantined(path=f"$.alerts[{n}]", reason="no labels", raw='{"x": 1}') for n in range(2))
    delivery = Delivery(source="am", signals=(signal(1),), quarantined=bad, truncated=7, group_key="{}:{a}")
    assert await accept(pool, delivery) == [Receipt(new=1, known=0, quarantined=2)]
    rows = await owner.fetch("SELECT source, path, reason, raw FROM remediator.quarantine ORDER BY id")
    assert [tuple(row) for row in rows] == [("am", one.path, one.reason, one.raw) for one in bad]
    entries = await owner.fetch("SELECT kind, summary, data::text AS data FROM remediator.ledger ORDER BY seq")
    assert kinds(entries) == ["signal.quarantined", "signal.quarantined", "signals.truncated"]
    assert "$.alerts[1]" in entries[1]["summary"]
    assert "no labels" in entries[1]["summary"]
    assert "7 alerts" in entries[2]["summary"]
    assert '"group_key": "{}:{a}"' in entries[2]["data"]


async def test_5000_alerts_in_one_delivery(pools: LedgerPools, commits: Deliveries, owner: Owner) -> None:
    """The biggest body that fits is one commit, well within the deadline of a statement; so is its repeat."""
    inbox = LedgerInbox(pools.intake, commits, limit=5000)
    big = of(*(signal(n) for n in range(5000)))
    assert await inbox.accept(big) == Receipt(new=5000, known=0, quarantined=0)
    await inbox.measure()
    assert inbox.waiting == 5000
    assert await owner.fetchval("SELECT count(DISTINCT xmin::text) FROM remediator.signals") == 1
    assert await accept(pools.intake, big) == [Receipt(new=0, known=5000, quarantined=0)]


async def test_full_is_full_for_callers_that_come_together_too(pools: LedgerPools, commits: Deliveries) -> None:
    """What is on its way into the database counts as much as what is there."""
    inbox = LedgerInbox(pools.intake, commits, limit=10)

    async def one(number: int) -> str:
        try:
            await inbox.accept(of(*(signal(number * 10 + n) for n in range(4))))
        except LedgerError as error:
            return error.reason
        return "taken"

    async with asyncio.TaskGroup() as tasks:
        sent = [tasks.create_task(one(n)) for n in range(8)]
    assert sorted(task.result() for task in sent) == ["full"] * 6 + ["taken"] * 2
    await inbox.measure()
    assert inbox.waiting == 8


async def test_room_is_given_back(pools: LedgerPools, commits: Deliveries) -> None:
    """By matching, by deliveries that brought nothing new, and by those that the database refused."""
    inbox = LedgerInbox(pools.intake, commits, limit=4)
    for _ in range(3):
        await inbox.accept(of(signal(1), signal(2)))
        assert (await told(inbox, of(signal(9, status="odd")))).reason == "data"
    assert (await told(inbox, of(signal(3), signal(4), signal(5)))).reason == "full"
    assert len(await read_back(pools.stages)) == 2
    await inbox.measure()
    assert (inbox.waiting, inbox.oldest_s) == (0, 0.0)
    assert (await inbox.accept(of(signal(3), signal(4), signal(5)))).new == 3


async def test_the_age_of_the_oldest_is_measured(pools: LedgerPools, commits: Deliveries, owner: Owner) -> None:
    """Readiness is judged by it; counting ends just past the limit, however many wait."""
    await accept(pools.intake, of(*(signal(n) for n in range(9))))
    await owner.execute("UPDATE remediator.signals SET received_at = now() - interval '90 s' WHERE id = 1")
    inbox = LedgerInbox(pools.intake, commits, limit=5)
    await inbox.measure()
    assert inbox.waiting == 6
    assert 90 <= inbox.oldest_s < 120


async def test_replicas_that_store_the_same_in_other_orders_do_not_block_each_other(
    pools: LedgerPools, commits: Deliveries
) -> None:
    """A pair of Alertmanagers sends the same groups to two replicas; no deadlock comes of it."""
    forth = [signal(n) for n in range(300)]
    async with asyncio.TaskGroup() as tasks:
        sent = [
            tasks.create_task(accept(pool, of(*order)))
            for pool in (pools.intake, pools.stages)
            for order in (forth, forth[::-1])
        ]
    assert sum(task.result()[0].new for task in sent) == 300


async def test_what_is_new_alone_waits_to_be_matched(pool: LedgerPool, owner: Owner) -> None:
    """A repeat has no work in it; and no other replica is woken, for each rings its own bell."""
    rung: list[object] = []
    await owner.add_listener("remediator", lambda *said: rung.append(said[-1]))
    await accept(pool, of(signal(1)))
    await accept(pool, of(signal(1)))
    await accept(pool, of(signal(1, starts_at=BEGUN + timedelta(minutes=1))))
    await owner.fetchval("SELECT 1")
    assert len(await column(owner, "inbox", "signal")) == 2
    assert rung == []
