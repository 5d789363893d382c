"""What a stage has under way: counted, owned, and waited for."""

from __future__ import annotations

import asyncio

import pytest

from remediator.flow.crew import Crew
from remediator.model.errors import InvariantBroken


class Noting(Crew):
    """Notes how much is under way whenever something has ended."""

    def __init__(self) -> None:
        """Nothing has."""
        super().__init__()
        self.left: list[int] = []

    def freed(self) -> None:
        """Note."""
        self.left.append(self.under_way)


async def test_the_end_waits_for_what_is_under_way() -> None:
    """Each piece is counted until it has ended, and its room is free when that is told."""
    may_end = asyncio.Event()

    async def work() -> None:
        await may_end.wait()

    async with Noting() as crew:
        for number in range(3):
            crew.begin(work, name=f"piece-{number}")
        assert crew.under_way == 3
        assert {task.get_name() for task in asyncio.all_tasks()} >= {"piece-0", "piece-1", "piece-2"}
        asyncio.get_running_loop().call_later(0.01, may_end.set)
    assert (crew.under_way, crew.left) == (0, [2, 1, 0])


async def test_work_that_fails_ends_the_stage() -> None:
    """What else is under way is cancelled, and its room is free all the same."""

    async def fail() -> None:
        raise InvariantBroken("a bug")

    async def wait() -> None:
        await asyncio.Event().wait()

    crew = Noting()

    async def stage() -> None:
        async with crew:
            crew.begin(wait, name="waits")
            crew.begin(fail, name="fails")

    with pytest.raises(ExceptionGroup) as caught:
        await stage()
    assert caught.group_contains(InvariantBroken)
    assert crew.under_way == 0
