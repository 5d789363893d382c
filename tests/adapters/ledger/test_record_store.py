"""The ledger in PostgreSQL: what is appended, read back, answered, and counted."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from remediator.adapters.ledger.pool import LedgerPools
from remediator.adapters.ledger.record import LedgerAppender, LedgerView
from remediator.model.decision import Ask
from remediator.model.entry import Entry, EntryKind, NewEntry
from remediator.model.errors import LedgerError
from remediator.ports.ledger import LedgerQuery
from tests.adapters.ledger.forging import forge
from tests.adapters.ledger.stand import Owner, act, admit_actions, column, decide, put_candidates


@pytest.fixture
def appender(pools: LedgerPools) -> LedgerAppender:
    """The writer."""
    return LedgerAppender(pools.stages)


@pytest.fixture
def view(pools: LedgerPools) -> LedgerView:
    """The reader."""
    return LedgerView(pools.read)


def entry(number: int, **changes: object) -> NewEntry:
    """Return a numbered entry."""
    given = {"kind": EntryKind.ALERT_FIRING, "summary": f"entry {number}", **changes}
    return NewEntry(**given)  # type: ignore[arg-type]


def numbers(entries: tuple[Entry, ...]) -> list[int]:
    """Return the numbers of entries, as their summaries say them."""
    return [int(one.summary.split()[1]) for one in entries]


async def test_an_entry_comes_back_as_it_was(appender: LedgerAppender, view: LedgerView, owner: Owner) -> None:
    """Every field; the number and the time are the database's."""
    whole = NewEntry(
        kind=EntryKind.DECISION_HOLD,
        summary="nothing done: 'cooldown' \"412 s\" 崩\nnext line",
        incident=17,
        action=42,
        rule="r",
        target_key="deployment/a/b",
        reasons=("cooldown", "spacing"),
        data={"numbers": {"left_s": 412, "share": 0.5, "none": None}, "list": [1, "a"]},
        actor="ada",
    )
    bare = NewEntry(kind=EntryKind.STARTED, summary="started")
    await appender.append(whole, bare)
    first, second = await view.entries(LedgerQuery())
    assert abs(first.at - await owner.fetchval("SELECT now()")) < timedelta(seconds=5)
    for given, found in ((whole, first), (bare, second)):
        for name in given.__struct_fields__:
            assert getattr(found, name) == getattr(given, name), name


async def test_every_kind_of_entry_can_be_read(appender: LedgerAppender, view: LedgerView) -> None:
    """A kind that the reader did not know would hide the whole page."""
    await appender.append(*(NewEntry(kind=kind, summary=kind) for kind in EntryKind))
    assert [one.kind for one in await view.entries(LedgerQuery())] == list(EntryKind)


async def test_the_newest_or_those_after(appender: LedgerAppender, view: LedgerView) -> None:
    """Always in the order of the ledger; a follower that asks after its last one misses none and gets none twice."""
    await appender.append(*(entry(n) for n in range(10)))
    newest = await view.entries(LedgerQuery(limit=3))
    assert numbers(newest) == [7, 8, 9]
    assert await view.entries(LedgerQuery(after=newest[-1].seq)) == ()
    await appender.append(*(entry(n) for n in range(10, 15)))
    first = await view.entries(LedgerQuery(after=newest[-1].seq, limit=3))
    rest = await view.entries(LedgerQuery(after=first[-1].seq, limit=3))
    assert (numbers(first), numbers(rest)) == ([10, 11, 12], [13, 14])


async def test_filters_hold_in_both_directions(appender: LedgerAppender, view: LedgerView, owner: Owner) -> None:
    """By incident, by action, by time, and all at once."""
    await appender.append(*(entry(n, incident=n % 2 or None, action=n % 3 or None) for n in range(12)))
    await forge(owner, "UPDATE remediator.ledger SET at = now() - make_interval(hours => 100 - seq::int)")
    since = await owner.fetchval("SELECT now() - interval '93 hours 30 minutes'")
    first = (await view.entries(LedgerQuery()))[0].seq
    for after in (0, first):
        assert numbers(await view.entries(LedgerQuery(after=after, incident=1))) == [1, 3, 5, 7, 9, 11]
        assert numbers(await view.entries(LedgerQuery(after=after, action=2))) == [2, 5, 8, 11]
        assert numbers(await view.entries(LedgerQuery(after=after, since=since))) == [6, 7, 8, 9, 10, 11]
        every = LedgerQuery(after=after, incident=1, action=1, since=since, limit=5)
        assert numbers(await view.entries(every)) == [7]
    assert numbers(await view.entries(LedgerQuery(incident=1, limit=2))) == [9, 11]
    assert numbers(await view.entries(LedgerQuery(after=first, incident=1, limit=2))) == [1, 3]


async def test_several_entries_are_one_commit(appender: LedgerAppender, owner: Owner) -> None:
    """All or none of them."""
    await owner.execute("ALTER TABLE remediator.ledger ADD CHECK (summary <> 'entry 2')")
    with pytest.raises(LedgerError) as caught:
        await appender.append(entry(1), entry(2))
    assert caught.value.reason == "data"
    assert await column(owner, "ledger", "seq") == []


async def ask(owner: Owner, pools: LedgerPools, count: int = 1) -> None:
    """Let actions wait for a person's answer."""
    await put_candidates(owner, count)
    await decide(pools.stages, lambda item: Ask(plan=act(item).plan, because="mode ask"))


@pytest.mark.parametrize("approved", [True, False])
async def test_the_first_answer_counts(
    appender: LedgerAppender, pools: LedgerPools, owner: Owner, approved: bool
) -> None:
    """However many come, and at once: one approval, one entry, one candidate for a yes."""
    await ask(owner, pools)
    words = {"approved": approved, "actor": "ada", "reason": "I looked"}
    async with asyncio.TaskGroup() as tasks:
        answers = [tasks.create_task(appender.answer(1, **words)) for _ in range(4)]  # type: ignore[arg-type]
    assert sorted(task.result() for task in answers) == [False, False, False, True]
    assert not await appender.answer(1, approved=not approved, actor="bob", reason="")
    assert await column(owner, "actions", "state") == ["done" if approved else "rejected"]
    assert await column(owner, "actions", "ended_at IS NOT NULL") == [True]
    (said,) = await owner.fetch("SELECT action, approved, actor, reason FROM remediator.approvals")
    assert tuple(said) == (1, approved, "ada", "I looked")
    (told,) = await owner.fetch(
        "SELECT summary, actor, incident, action FROM remediator.ledger WHERE kind = 'approval'"
    )
    verb = "approved" if approved else "rejected"
    assert tuple(told) == (f"{verb} by ada: I looked", "ada", 1, 1)
    waiting = await owner.fetch(
        "SELECT cause, rung, incident, approved_by, state FROM remediator.candidates ORDER BY id OFFSET 1"
    )
    assert [tuple(row) for row in waiting] == ([("approved", 0, 1, "ada", "new")] if approved else [])


async def test_only_what_waits_can_be_answered(appender: LedgerAppender, pools: LedgerPools, owner: Owner) -> None:
    """Not an action that was admitted, nor one that is not there."""
    await admit_actions(owner, pools.stages)
    for number in (1, 99):
        assert not await appender.answer(number, approved=True, actor="ada", reason="")
    assert await column(owner, "approvals", "action") == []
    assert await column(owner, "actions", "state") == ["admitted"]
    assert "approval" not in await column(owner, "ledger", "kind")


async def test_a_yes_takes_over_what_waits_under_the_rule(
    appender: LedgerAppender, pools: LedgerPools, owner: Owner
) -> None:
    """The alert's next episode waits already: it becomes the approved one, due at once."""
    await ask(owner, pools)
    await put_candidates(owner, 1)
    await owner.execute("UPDATE remediator.candidates SET not_before = now() + interval '1 h', rung = 3 WHERE id = 2")
    assert await appender.answer(1, approved=True, actor="ada", reason="")
    (row,) = await owner.fetch(
        """SELECT cause, rung, incident, approved_by, not_before <= now() AS due
           FROM remediator.candidates WHERE state <> 'decided'"""
    )
    assert tuple(row) == ("approved", 0, 1, "ada", True)


async def test_incidents_and_actions_are_read(view: LedgerView, pools: LedgerPools, owner: Owner) -> None:
    """One, the newest, the open ones; what is not there is None or nothing."""
    await admit_actions(owner, pools.stages, 3)
    await owner.execute("UPDATE remediator.incidents SET state = 'resolved', resolved_at = now() WHERE id = 2")
    assert [one.id for one in await view.incidents(open_only=False, limit=2)] == [3, 2]
    assert [one.id for one in await view.incidents(open_only=True, limit=9)] == [3, 1]
    one = await view.incident(2)
    assert one is not None
    assert one.resolved_at is not None
    assert await view.incident(99) is None
    action = await view.action(3)
    assert action is not None
    assert (action["number"], action["incident"], action["state"]) == (3, 3, "admitted")
    assert action["plan"]["steps"][0]["type"] == "patch_object"
    assert await view.action(99) is None
    assert [found["number"] for found in await view.actions_of(2)] == [2]
    assert await view.actions_of(99) == ()


async def test_what_waits_for_an_answer_is_read(view: LedgerView, pools: LedgerPools, owner: Owner) -> None:
    """The oldest first, at most so many, counted in all; nothing of an incident that is over."""
    await admit_actions(owner, pools.stages, 4)
    await owner.execute("UPDATE remediator.actions SET state = 'awaiting_approval' WHERE number <> 2")
    await owner.execute("UPDATE remediator.incidents SET state = 'resolved', resolved_at = now() WHERE id = 3")
    assert [one["number"] for one in await view.asked(9)] == [1, 4]
    assert [one["number"] for one in await view.asked(1)] == [1]
    assert (await view.counts())["asked_in_all"] == 2


async def test_the_status_is_counted(
    appender: LedgerAppender, view: LedgerView, pools: LedgerPools, owner: Owner
) -> None:
    """An empty ledger has figures too."""
    empty = await view.counts()
    assert (empty["incidents"], empty["actions"], empty["ledger_entries"], empty["rule_set"]) == ({}, {}, 0, None)
    await admit_actions(owner, pools.stages, 2)
    await put_candidates(owner, 1, rule="other")
    await owner.execute("UPDATE remediator.actions SET state = 'recovered' WHERE number = 1")
    await appender.keep_rule_set("abc", {"a.yaml": "rules: []"}, entry(1))
    found = await view.counts()
    assert found["incidents"] == {"open": 2}
    assert found["actions"] == {"recovered": 1, "admitted": 1}
    assert (found["alerts_firing"], found["candidates_waiting"], found["candidates_held"]) == (2, 1, 0)
    assert (found["signals_waiting"], found["notifications_waiting"], found["notifications_dead"]) == (0, 0, 0)
    assert (found["ledger_entries"], found["rule_set"]) == (5, "abc")
    await view.ping()


async def test_every_rule_set_is_kept_once(appender: LedgerAppender, owner: Owner) -> None:
    """Loaded again it is the newest again; its text stays what it was."""
    await appender.keep_rule_set("a", {"a.yaml": "one"}, entry(1))
    await appender.keep_rule_set("b", {"a.yaml": "two"}, entry(2))
    await appender.keep_rule_set("a", {"a.yaml": "forged"}, entry(3))
    assert await column(owner, "rule_sets", "digest", order="loaded_at") == ["b", "a"]
    files = await column(owner, "rule_sets", "files::text", order="digest")
    assert [json.loads(text) for text in files] == [{"a.yaml": "one"}, {"a.yaml": "two"}]
    assert len(await column(owner, "ledger", "seq")) == 3
