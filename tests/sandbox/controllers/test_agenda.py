"""The agenda of the controllers: no doubles, timers in order, by hand and in a task."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from remediator.sandbox.clock import RealClock, VirtualClock
from remediator.sandbox.controllers.agenda import Agenda, Key, RestlessError
from remediator.sandbox.controllers.behaviour import (
    Ailment,
    Behaviour,
    BehaviourError,
    exit_code_of,
    read_behaviour,
    read_duration,
)


class Noting:
    """A worker that notes when it was called for what."""

    def __init__(self, agenda: Agenda) -> None:
        """Begin without notes."""
        self.agenda = agenda
        self.notes: list[tuple[float, str]] = []

    def reconcile(self, key: Key) -> None:
        """Note the moment and the name."""
        self.notes.append((round(self.agenda.clock.monotonic(), 3), key[1]))


class Restless(Noting):
    """A worker that is never done."""

    def reconcile(self, key: Key) -> None:
        """Ask for more at once."""
        self.agenda.add(self, key)


def test_a_job_is_done_once_however_often_it_is_asked_for() -> None:
    """The same key of the same worker is planned once, in the order of the first asking."""
    agenda = Agenda(VirtualClock())
    worker = Noting(agenda)
    for name in ("a", "b", "a", "a"):
        agenda.add(worker, ("x", name))
    assert agenda.drain() == 2
    assert worker.notes == [(0, "a"), (0, "b")]
    assert agenda.idle


def test_timers_ring_in_the_order_of_their_time() -> None:
    """Time is moved to each of them; of several for the same the earliest rings; speed divides."""
    agenda = Agenda(VirtualClock(), speed=2)
    worker = Noting(agenda)
    agenda.after(9, worker, ("x", "late"))
    agenda.after(4, worker, ("x", "late"))
    agenda.after(1, worker, ("x", "soon"))
    agenda.after(3, worker, ("x", "soon"))
    assert not agenda.advance(1.0, until=lambda: False)
    assert worker.notes == [(0.5, "soon")]
    assert agenda.advance(5.0)
    assert worker.notes == [(0.5, "soon"), (2.0, "late")]
    assert agenda.clock.monotonic() == 6.0


def test_a_restless_world_is_told() -> None:
    """Work that goes on for ever without time passing ends with an error, not with a hang."""
    agenda = Agenda(VirtualClock(), patience=1000)
    agenda.add(Restless(agenda), ("x", "y"))
    with pytest.raises(RestlessError, match="no time has passed"):
        agenda.drain()


def test_only_a_virtual_clock_is_moved_by_hand() -> None:
    """A real clock cannot be advanced, and no speed is zero."""
    with pytest.raises(TypeError, match="VirtualClock"):
        Agenda(RealClock()).advance(1)
    with pytest.raises(ValueError, match="speed is 0"):
        Agenda(RealClock(), speed=0)


async def test_a_task_follows_the_clock() -> None:
    """`run` wakes for what is added, and at the moment of each timer, also one that was set before a later one."""
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    agenda = Agenda(clock)
    worker = Noting(agenda)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(agenda.run())
        agenda.after(5, worker, ("x", "second"))
        await clock.settle()
        agenda.after(2, worker, ("x", "first"))
        agenda.add(worker, ("x", "now"))
        await clock.advance(10)
        task.cancel()
    assert worker.notes == [(0, "now"), (2, "first"), (5, "second")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("healthy", Behaviour()),
        ("crash", Behaviour(ailment=Ailment.CRASH)),
        ("image-pull", Behaviour(ailment=Ailment.IMAGE_PULL)),
        ("crash-until-restarted", Behaviour(ailment=Ailment.CRASH, until_restarted=True)),
        ("oom-until-scaled:3", Behaviour(ailment=Ailment.OOM, until_replicas=3)),
    ],
)
def test_behaviours_are_read(text: str, wanted: Behaviour) -> None:
    """Every form of the table is understood."""
    assert read_behaviour(text) == wanted


@pytest.mark.parametrize("text", ["", "crashes", "crash-until", "crash-until-scaled", "crash-until-scaled:x"])
def test_unknown_behaviours_are_refused(text: str) -> None:
    """The message lists what there is."""
    with pytest.raises(BehaviourError, match="use one of healthy, crash"):
        read_behaviour(text)


def test_durations_and_exit_codes_are_read() -> None:
    """Units are understood, nonsense is refused with the name of the annotation."""
    assert [read_duration("x", text) for text in ("0.3s", "200ms", "2m", "1h", "4")] == [0.3, 0.2, 120, 3600, 4]
    with pytest.raises(BehaviourError, match=r"sandbox.remediator.io/run-after: '-1s' is no duration"):
        read_duration("run-after", "-1s")
    with pytest.raises(BehaviourError, match="write 1 to 255"):
        exit_code_of({"sandbox.remediator.io/exit-code": "256"}, Ailment.CRASH)
