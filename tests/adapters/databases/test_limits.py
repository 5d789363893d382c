"""Connection limits are raised exactly once, whoever dies, sleeps or races on the way."""

from __future__ import annotations

import asyncio

import asyncpg
from msgspec import structs

from remediator.adapters.databases.postgres import PostgresDatabases
from remediator.model.database import EndIdle
from remediator.ports.cluster import WriteRefused
from remediator.ports.databases import Ran
from tests.adapters.databases.patient import APP, Patient, mark, raising


async def test_raised_with_its_mark(sick: Patient) -> None:
    """The limit and the mark are there together; the same action again finds the mark and changes nothing."""
    first = await sick.databases.run(raising(20), mark())
    assert isinstance(first, Ran)
    assert not first.found
    await sick.sql.execute("""ALTER ROLE "back""stage; DROP" CONNECTION LIMIT 33""")
    again = await sick.databases.run(raising(20), mark(fence=6))
    assert isinstance(again, Ran)
    assert again.found
    assert await sick.limit() == 33
    assert await sick.marks() == [("a" * 40, "done")]


async def test_two_replicas_race(sick: Patient) -> None:
    """Eight attempts at once of one action, under several fences: one has an effect, the others find it."""
    async with asyncio.TaskGroup() as tasks:
        attempts = [tasks.create_task(sick.databases.run(raising(20), mark(fence=5 + n % 3))) for n in range(8)]
    results = [attempt.result() for attempt in attempts]
    assert [type(one) for one in results] == [Ran] * 8
    assert sum(not one.found for one in results if isinstance(one, Ran)) == 1
    assert await sick.limit() == 20


async def test_a_stale_fence_is_refused(sick: Patient) -> None:
    """An owner that slept while a later one changed the database changes nothing more."""
    assert isinstance(await sick.databases.run(raising(20), mark("b", fence=9)), Ran)
    stale = await sick.databases.run(raising(40, before=20), mark("a", fence=8))
    assert isinstance(stale, WriteRefused)
    assert stale.reason == "overtaken"
    assert "fence 9" in stale.message
    assert await sick.limit() == 20


async def test_another_value_than_was_seen_is_refused(sick: Patient) -> None:
    """Somebody changed the limit since it was looked at: nothing is written, not even the mark."""
    refused = await sick.databases.run(raising(20, before=12), mark())
    assert isinstance(refused, WriteRefused)
    assert "it is 10 now" in refused.message
    assert await sick.limit() == 10
    assert await sick.marks() == []


async def test_the_owner_of_the_database_has_the_last_word(sick: Patient) -> None:
    """Above what is allowed, and for what is not listed, the functions themselves say no."""
    too_many = await sick.databases.run(raising(201), mark())
    stranger = await sick.databases.run(raising(20, before=-1, name="copier"), mark("b"))
    for refused in (too_many, stranger):
        assert isinstance(refused, WriteRefused)
        assert "does not let us" in refused.message
    assert await sick.limit() == 10
    assert await sick.marks() == []


async def test_the_role_may_do_nothing_else(sick: Patient) -> None:
    """What logs in for us can neither alter a role by itself nor write the marks."""
    ours = await sick.session("remediator_db")
    try:
        for statement in (
            """ALTER ROLE "back""stage; DROP" CONNECTION LIMIT 999""",
            "UPDATE remediator_limits.allowed SET most = 9999",
            "DELETE FROM remediator_limits.applied",
            "SELECT remediator_limits.begin_action('a', 1, 99, 'done', '{}')",
        ):
            try:
                await ours.execute(statement)
            except asyncpg.InsufficientPrivilegeError:
                continue
            raise AssertionError(statement)
    finally:
        await ours.close()
    assert await sick.limit() == 10


async def test_killed_in_the_middle(sick: Patient) -> None:
    """The backend dies while it waits inside its transaction: nothing is stored, and the next attempt does it once."""
    async with sick.sql.transaction(), asyncio.TaskGroup() as tasks:
        await sick.sql.execute("SELECT 1 FROM remediator_limits.fence FOR UPDATE")
        attempt = tasks.create_task(sick.databases.run(raising(20), mark()))
        await _killed(sick)
        lost = await attempt
    assert isinstance(lost, WriteRefused)
    assert lost.reason == "unreachable"
    assert await sick.limit() == 10
    assert isinstance(await sick.databases.run(raising(20), mark(fence=6)), Ran)
    assert await sick.limit() == 20


async def test_an_answer_that_is_lost_at_the_commit(sick: Patient) -> None:
    """The backend is ended at its commit; what became of it is asked on a new session, and is not guessed."""
    await sick.sql.execute("""
        CREATE FUNCTION remediator_limits.die() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            IF nextval('remediator_limits.deaths') = 1 THEN
                PERFORM pg_terminate_backend(pg_backend_pid());
                PERFORM pg_sleep(1);
            END IF;
            RETURN NULL;
        END $$;
        CREATE SEQUENCE remediator_limits.deaths;
        CREATE CONSTRAINT TRIGGER die AFTER INSERT ON remediator_limits.applied
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION remediator_limits.die();
        """)
    lost = await sick.databases.run(raising(20), mark())
    assert isinstance(lost, WriteRefused)
    assert "nothing was stored" in lost.message
    assert await sick.limit() == 10
    done = await sick.databases.run(raising(20), mark())
    assert isinstance(done, Ran)
    assert (await sick.limit(), await sick.marks()) == (20, [("a" * 40, "done")])


async def test_doubt_is_settled_by_the_mark(sick: Patient) -> None:
    """Done or not done is read from the mark; closing what was not done keeps it from ever being done."""
    databases = sick.databases
    assert await databases.settle(raising(20), mark(), close=False) is False
    assert isinstance(await databases.run(raising(20), mark()), Ran)
    assert await databases.settle(raising(20), mark(), close=False) is True
    assert await databases.settle(raising(20), mark(), close=True) is True
    assert await databases.settle(raising(30, before=20), mark("b", fence=6), close=True) is False
    late = await databases.run(raising(30, before=20), mark("b", fence=6))
    assert isinstance(late, WriteRefused)
    assert "given up before" in late.message
    assert await sick.limit() == 20


async def test_nobody_knows_while_nobody_answers(sick: Patient, unused_tcp_port: int) -> None:
    """A database that cannot be reached settles nothing, and gets nothing."""
    entry = sick.entry
    gone = type(entry)(
        **{name: getattr(entry, name) for name in entry.__slots__} | {"host": "127.0.0.1", "port": unused_tcp_port}
    )
    databases = PostgresDatabases(entries=(gone,))
    assert await databases.settle(raising(20), mark(), close=True) is None
    refused = await databases.run(raising(20), mark())
    assert isinstance(refused, WriteRefused)
    assert refused.reason == "unreachable"


async def test_a_dry_run_leaves_nothing(sick: Patient) -> None:
    """It says what would be done, and no limit, no mark, no fence is there afterwards."""
    would = await sick.databases.run(raising(20), mark(), dry_run=True)
    assert isinstance(would, Ran)
    assert await sick.limit() == 10
    assert await sick.marks() == []
    assert await sick.sql.fetchval("SELECT fence FROM remediator_limits.fence") == 0


async def test_idle_sessions_end_and_are_told(sick: Patient) -> None:
    """The longest idle ones of an application end, each is recorded; backups, copiers, superusers and ours stay."""
    administrator = str(await sick.sql.fetchval("SELECT current_user"))
    people = [(APP, "app"), (APP, "app"), (APP, "pg_dump"), ("copier", "app"), (administrator, "app")]
    sessions = [await sick.session(*who) for who in people]
    for one in sessions:
        await one.execute("BEGIN; SELECT 1")
    victim = sessions[0].get_server_pid()
    try:
        younger = await sick.databases.run(raising(20, idle=EndIdle(older_than_s=60, most=5)), mark())
        assert isinstance(younger, Ran)
        assert younger.details["ended"] == []
        step = raising(30, before=20, idle=EndIdle(older_than_s=0, most=1))
        ended = await sick.databases.run(step, mark("b", fence=6))
        assert isinstance(ended, Ran)
        assert [one["pid"] for one in ended.details["ended"]] == [victim]
        step = raising(40, before=30, idle=EndIdle(older_than_s=0, most=50))
        rest = await sick.databases.run(step, mark("c", fence=7))
        assert isinstance(rest, Ran)
        assert [one["pid"] for one in rest.details["ended"]] == [sessions[1].get_server_pid()]
        for survivor in sessions[2:]:
            assert await survivor.fetchval("SELECT 1") == 1
    finally:
        for one in sessions:
            one.terminate()


async def test_our_own_store_is_never_touched(sick: Patient) -> None:
    """A server that is our own ledger's is refused by its system identifier, for looking and for changing."""
    own = await sick.sql.fetchval("SELECT system_identifier FROM pg_control_system()")
    databases = PostgresDatabases(entries=(sick.entry,), own=frozenset({own}))
    view = await databases.look(raising().target)
    assert view is not None
    assert view.facts is None
    assert "our own ledger" in view.problem
    refused = await databases.run(raising(20), mark())
    assert isinstance(refused, WriteRefused)
    assert "our own ledger" in refused.message
    assert await databases.settle(raising(20), mark(), close=True) is None
    assert await sick.limit() == 10


async def test_a_step_for_another_workload_is_refused(sick: Patient) -> None:
    """The file of databases was changed since: its entry is for something else now."""
    step = raising(20)
    other = structs.replace(step, target=structs.replace(step.target, name="other"))
    assert isinstance(await sick.databases.run(other, mark()), WriteRefused)
    assert await sick.limit() == 10


async def _killed(sick: Patient) -> None:
    """Wait until our session waits for the lock, and end it."""
    kill = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE usename = 'remediator_db' AND wait_event_type = 'Lock' AND datname = current_database()
        """
    other = await asyncpg.connect(sick.dsn)
    try:
        async with asyncio.timeout(4):
            while not await other.fetchval(kill):
                await asyncio.sleep(0.02)
    finally:
        await other.close()
