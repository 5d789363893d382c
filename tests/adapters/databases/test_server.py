"""ALTER SYSTEM: an intent, an absolute value, a pending restart; and what a look at a database finds."""

from __future__ import annotations

import asyncio

from remediator.model.database import LimitScope
from remediator.ports.cluster import WriteRefused
from remediator.ports.databases import Ran
from tests.adapters.databases.patient import APP, POSTGRES, Patient, mark, maximum


async def running(sick: Patient) -> int:
    """Return max_connections as it counts now."""
    return int(await sick.sql.fetchval("SHOW max_connections"))


async def configured(sick: Patient) -> int:
    """Return max_connections as it will be after a restart."""
    return int(await sick.sql.fetchval("SELECT remediator_limits.configured()"))


async def test_written_and_waiting_for_a_restart(sick: Patient) -> None:
    """The files have the new value, the server runs on with the old one and says that it waits for a restart."""
    before = await running(sick)
    done = await sick.databases.run(maximum(before + 50, before=before), mark())
    assert isinstance(done, Ran)
    assert done.details == {"configured": before + 50, "running": before, "pending_restart": True}
    assert await sick.marks() == [("a" * 40, "done")]
    view = await sick.databases.look(POSTGRES)
    assert view is not None
    assert view.facts is not None
    assert (view.facts.max_connections, view.facts.pending) == (before, before + 50)
    again = await sick.databases.run(maximum(before + 50, before=before), mark(fence=6))
    assert isinstance(again, Ran)
    assert again.found


async def test_overtaken_changed_or_too_high(sick: Patient) -> None:
    """A stale fence, a value that somebody changed and one above what is allowed each leave the files alone."""
    before = await running(sick)
    assert isinstance(await sick.databases.run(maximum(before + 10, before=before), mark("b", fence=9)), Ran)
    for step, by in (
        (maximum(before + 20, before=before + 10), mark("a", fence=8)),
        (maximum(before + 20, before=before), mark("c", fence=10)),
        (maximum(301, before=before + 10), mark("d", fence=11)),
    ):
        assert isinstance(await sick.databases.run(step, by), WriteRefused)
    assert await configured(sick) == before + 10
    assert await sick.marks() == [("b" * 40, "done")]


async def test_an_intent_that_was_left_alone_is_finished_once(sick: Patient) -> None:
    """A replica died after its intent: the next one writes the same value; or closes it, and then it is void."""
    before = await running(sick)
    intend = "SELECT remediator_limits.intend_maximum($1, 7, $2, $3, $4)"
    await sick.sql.fetchval(
        intend.replace("$2", "5").replace("$3", "$2").replace("$4", "$3"), "a" * 40, before, before + 10
    )
    assert await sick.databases.settle(maximum(before + 10, before=before), mark(), close=False) is False
    assert isinstance(await sick.databases.run(maximum(before + 10, before=before), mark(fence=6)), Ran)
    assert await configured(sick) == before + 10
    await sick.sql.fetchval(intend, "b" * 40, 7, before + 10, before + 20)
    closed = await sick.databases.settle(maximum(before + 20, before=before + 10), mark("b", fence=7), close=True)
    assert closed is False
    late = await sick.databases.run(maximum(before + 20, before=before + 10), mark("b", fence=7))
    assert isinstance(late, WriteRefused)
    assert await configured(sick) == before + 10


async def test_written_but_not_marked_is_found(sick: Patient) -> None:
    """A replica died after ALTER SYSTEM: whoever settles it finds the value in the files, and marks it done."""
    before = await running(sick)
    await sick.sql.fetchval("SELECT remediator_limits.intend_maximum($1, 7, 5, $2, $3)", "a" * 40, before, before + 10)
    await sick.sql.execute(f"ALTER SYSTEM SET max_connections = {before + 10}")
    assert await sick.databases.settle(maximum(before + 10, before=before), mark(), close=True) is True
    assert await sick.marks() == [("a" * 40, "done")]


async def test_nobody_is_between_an_intent_and_its_effect(sick: Patient) -> None:
    """As long as another session is there, an attempt waits, and then says that it may be tried again."""
    before = await running(sick)
    await sick.sql.execute("SELECT pg_advisory_lock(hashtext('remediator_limits'), 1)")
    async with asyncio.TaskGroup() as tasks:
        attempt = tasks.create_task(sick.databases.run(maximum(before + 10, before=before), mark()))
        await asyncio.sleep(0.2)
        assert not attempt.done()
        assert await sick.marks() == []
        await sick.sql.execute("SELECT pg_advisory_unlock(hashtext('remediator_limits'), 1)")
    assert isinstance(attempt.result(), Ran)


async def test_a_dry_run_writes_nothing(sick: Patient) -> None:
    """Neither a mark nor a value."""
    before = await running(sick)
    assert isinstance(await sick.databases.run(maximum(before + 10, before=before), mark(), dry_run=True), Ran)
    assert await configured(sick) == before
    assert await sick.marks() == []


async def test_what_a_look_finds(sick: Patient) -> None:
    """Limits with their use, who has connections, who idles in a transaction."""
    session = await sick.session(APP, "portal")
    await session.execute("BEGIN; SELECT 1")
    try:
        view = await sick.databases.look(POSTGRES)
    finally:
        await session.close()
    assert view is not None
    facts = view.facts
    assert facts is not None
    assert [(one.scope, one.name, one.limit, one.used, one.most) for one in facts.limits] == [
        (LimitScope.ROLE, APP, 10, 1, 200)
    ]
    assert ("portal", "idle in transaction", 1) in [(one.application, one.state, one.count) for one in facts.holders]
    assert facts.max_connections - facts.reserved == facts.ordinary
    assert facts.used >= 2
    assert (facts.in_recovery, facts.managed_by, facts.server_most, len(facts.idle)) == (False, "", 300, 1)


async def test_patroni_is_recognised(sick: Patient) -> None:
    """By the name that it gives its sessions."""
    patroni = await sick.session(APP, "Patroni heartbeat")
    try:
        view = await sick.databases.look(POSTGRES)
    finally:
        await patroni.close()
    assert view is not None
    assert view.facts is not None
    assert view.facts.managed_by == "Patroni"


async def test_what_is_missing_is_told(sick: Patient) -> None:
    """Without pg_monitor the number of sessions is not known, and the view says how to cure that."""
    await sick.sql.execute("REVOKE pg_monitor FROM remediator_db")
    view = await sick.databases.look(POSTGRES)
    assert view is not None
    assert view.facts is None
    assert "GRANT pg_monitor TO remediator_db" in view.problem


async def test_a_full_database_says_so(sick: Patient) -> None:
    """A role that has no connection left is told what lets it in."""
    await sick.sql.execute("ALTER ROLE remediator_db CONNECTION LIMIT 0")
    try:
        view = await sick.databases.look(POSTGRES)
    finally:
        await sick.sql.execute("ALTER ROLE remediator_db CONNECTION LIMIT -1")
    assert view is not None
    assert "no connection left" in view.problem
