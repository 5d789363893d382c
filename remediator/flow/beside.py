"""Beside each other: one step's items are worked on at the same time, and one that fails does not stop the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from remediator.model.errors import PortError

T = TypeVar("T")


async def beside(items: Sequence[T], work: Callable[[T], Awaitable[None]], *, name: str) -> int:
    """Work on all items and return how many there were, after the last has ended.

    Raises the first PortError, alone and not in a group, so that the lane waits and goes on: the rows that failed have
    leases, and come back. Anything else is a bug and goes up at once, in the group's wrapping.
    """
    troubles: list[PortError] = []

    async def one(item: T) -> None:
        try:
            await work(item)
        except PortError as error:
            troubles.append(error)

    async with asyncio.TaskGroup() as tasks:
        for item in items:
            tasks.create_task(one(item), name=name)
    if troubles:
        raise troubles[0]
    return len(items)
