"""Lanes and their supervisor: they go on after trouble, die of bugs, and stop in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from remediator.flow.bells import Bells, Stage
from remediator.flow.forgive import forgive
from remediator.flow.lane import GATHER_FROM, GATHER_MOST_S, Lane
from remediator.flow.pipeline import Pipeline
from remediator.flow.supervisor import Background, Supervisor
from remediator.model.errors import ClusterError, InvariantBroken, LedgerError
from remediator.sandbox.clock import VirtualClock
from tests.flow.rig import Ear


def lane(step: Callable[[], Awaitable[int]], ear: Ear, bells: Bells | None = None) -> Lane:
    """Return a match lane that polls every 10 ms."""
    return Lane(
        stage=Stage.MATCH,
        step=step,
        full=500,
        bells=bells or Bells(),
        clock=VirtualClock(),
        observer=ear,
        poll_s=0.01,
    )


async def nothing() -> int:
    """Do nothing."""
    return 0


def supervisor(
    *lanes: Lane,
    ear: Ear,
    background: tuple[Background, ...] = (),
    drain_s: float = 1.0,
    order: list[str] | None = None,
) -> Supervisor:
    """Return a supervisor of these lanes, with a front door that notes its opening and closing."""

    @asynccontextmanager
    async def pipeline() -> AsyncIterator[Pipeline]:
        yield Pipeline(lanes=lanes, bells=Bells())

    @asynccontextmanager
    async def front() -> AsyncIterator[None]:
        notes.append("open")
        yield
        notes.append("closed" if all(not one.stopping for one in lanes) else "closed too late")

    notes = order if order is not None else []
    return Supervisor(
        pipeline=pipeline,
        front=front,
        background=background,
        clock=VirtualClock(),
        observer=ear,
        drain_s=drain_s,
    )


async def test_a_lane_goes_on_after_trouble_and_says_so() -> None:
    """A database that does not answer makes a lane wait, not die."""
    ear, done = Ear(), asyncio.Event()
    troubles = [LedgerError("unavailable", "gone", retryable=True)] * 2

    async def step() -> int:
        if troubles:
            raise troubles.pop()
        done.set()
        return 0

    working = lane(step, ear)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(working.run())
        await done.wait()
        working.stop()
    assert ear.outcomes("match") == ["trouble", "trouble"]
    assert working.troubles == 0


@pytest.mark.parametrize(("done", "steps"), [(3, 1), (500, 3)])
async def test_a_lane_that_has_seen_all_waits_for_its_bell(done: int, steps: int) -> None:
    """After a full batch more may wait; after less a look at once would find nothing, and cost as much as the work."""
    bells, clock, begun = Bells(), VirtualClock(), []
    left = [done, done]

    async def step() -> int:
        begun.append(clock.monotonic())
        return left.pop(0) if left else 0

    working = lane(step, Ear(), bells)
    working.clock, working.poll_s = clock, 60.0
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(working.run())
        await clock.settle()
        assert len(begun) == steps
        bells.ring(Stage.MATCH)
        await clock.settle()
        assert len(begun) == steps + 1
        working.stop()


async def test_a_bell_that_nobody_rings_is_waited_for_only_so_long() -> None:
    """The poll backs the bell up."""
    bells = Bells()
    await bells.wait(Stage.CLOSE, 0.001)
    bells.ring(Stage.CLOSE)
    before = asyncio.get_running_loop().time()
    await bells.wait(Stage.CLOSE, 60)
    assert asyncio.get_running_loop().time() - before < 1


async def test_a_bug_in_a_lane_ends_everything() -> None:
    """What is no PortError is no trouble but a bug, and the process must not go on half alive."""
    ear = Ear()

    async def step() -> int:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as raised:
        await supervisor(lane(step, ear), ear=ear).run()
    assert raised.group_contains(ZeroDivisionError)


@pytest.mark.parametrize("how", ["ends", "fails"])
async def test_a_background_task_that_ends_or_fails_ends_everything(how: str) -> None:
    """A task that died quietly would leave a daemon that looks alive."""
    ear = Ear()

    async def task() -> None:
        await asyncio.sleep(0)
        if how == "fails":
            raise ZeroDivisionError

    background = (Background(name="clockwork", run=task),)
    with pytest.raises(ExceptionGroup) as raised:
        await supervisor(lane(nothing, ear), ear=ear, background=background).run()
    assert raised.group_contains(ZeroDivisionError if how == "fails" else RuntimeError)


async def test_a_stop_closes_the_front_door_first_and_lets_work_end() -> None:
    """No new work is taken, then the lanes end."""
    ear, began, finish = Ear(), asyncio.Event(), asyncio.Event()

    async def step() -> int:
        began.set()
        await finish.wait()
        return 0

    one = lane(step, ear)
    order: list[str] = []
    boss = supervisor(one, ear=ear, order=order)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(boss.run())
        await began.wait()
        boss.stop.set()
        await asyncio.sleep(0.01)
        assert not running.done()
        finish.set()
    assert order == ["open", "closed"]
    assert ear.outcomes("supervisor") == ["stopped"]


async def test_work_that_does_not_end_is_cut_off_after_the_drain() -> None:
    """A hung step cannot keep the process from ending; its lease gives the work to the next owner."""
    ear, began = Ear(), asyncio.Event()

    async def step() -> int:
        began.set()
        await asyncio.Event().wait()
        return 0

    boss = supervisor(lane(step, ear), ear=ear, drain_s=0.05)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(boss.run())
        await began.wait()
        boss.stop.set()
    assert ear.outcomes("supervisor") == ["cut_off", "stopped"]


async def test_silent_lanes_are_named() -> None:
    """Liveness looks at the beat of each lane."""
    ear = Ear()
    one = lane(nothing, ear)
    boss = supervisor(one, ear=ear)
    boss.lanes = (one,)
    one.beat = boss.clock.monotonic() - 61
    assert boss.silent_lanes(60) == ("match",)
    assert boss.silent_lanes(62) == ()


async def test_a_lane_under_load_lets_work_gather_while_alerts_pour_in() -> None:
    """What arrives must be durable first: the lane rests as long as deliveries are stored, for a second at most."""
    ear, bells = Ear(), Bells()
    clock = VirtualClock()
    counts, begun = [GATHER_FROM, 0], []

    async def step() -> int:
        begun.append(clock.monotonic())
        return counts.pop(0) if counts else 0

    working = Lane(
        stage=Stage.MATCH,
        step=step,
        bells=bells,
        clock=clock,
        observer=ear,
        poll_s=0.01,
        gather_s=0.05,
        full=500,
    )
    bells.arriving = 1
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(working.run())
        await clock.advance(0.5)
        assert len(begun) == 1
        await clock.advance(0.6)
        assert begun[1] - begun[0] == pytest.approx(GATHER_MOST_S, abs=0.06)
        working.stop()


async def test_a_backlog_waits_once_while_alerts_pour_in() -> None:
    """The beginning of a burst is stored first, for a second at most; after that nothing holds up what was stored."""
    bells, clock, begun = Bells(), VirtualClock(), []

    async def step() -> int:
        begun.append(clock.monotonic())
        await clock.sleep(0.01)
        return 500

    working = lane(step, Ear(), bells)
    working.clock, working.gather_s, bells.arriving = clock, 0.05, 1
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(working.run())
        await clock.advance(0.9)
        assert len(begun) == 1
        await clock.advance(0.2)
        many = len(begun)
        assert begun[1] - begun[0] == pytest.approx(GATHER_MOST_S, abs=0.07)
        await clock.advance(0.2)
        assert len(begun) > many + 10
        working.stop()
        await clock.advance(0.02)


@pytest.mark.parametrize(("done", "rests"), [(GATHER_FROM - 1, False), (GATHER_FROM, True), (500, False)])
async def test_few_alerts_and_full_batches_are_not_made_to_wait(done: int, rests: bool) -> None:
    """One alert goes through at once, and a backlog is worked off without a pause."""
    bells, clock, begun = Bells(), VirtualClock(), []

    async def step() -> int:
        begun.append(clock.monotonic())
        if len(begun) > 1:
            return 0
        bells.ring(Stage.MATCH)
        return done

    working = lane(step, Ear(), bells)
    working.clock, working.gather_s = clock, 0.05
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(working.run())
        await clock.settle()
        assert (len(begun) == 1) is rests
        await clock.advance(0.06)
        assert len(begun) > 1
        working.stop()


async def test_one_rule_tells_bugs_from_trouble() -> None:
    """Lanes and actions under way ask it alike."""
    forgive(LedgerError("unavailable", "away", retryable=True), "somebody")
    forgive(ClusterError("forbidden", "no"), "somebody")
    with pytest.raises(InvariantBroken, match="somebody cannot work: bug: no such column") as raised:
        forgive(LedgerError("bug", "no such column"), "somebody")
    assert isinstance(raised.value.__cause__, LedgerError)


async def test_a_database_that_calls_our_statement_wrong_is_no_outage() -> None:
    """Waiting cures no bug: a lane that would wait for ever looks alive and does nothing."""
    ear = Ear()

    async def step() -> int:
        raise LedgerError("bug", "the server expects 1 argument for this query, 2 were passed")

    with pytest.raises(ExceptionGroup) as raised:
        await supervisor(lane(step, ear), ear=ear).run()
    assert raised.group_contains(InvariantBroken)
