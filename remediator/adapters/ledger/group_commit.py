"""Group commit: callers that come together share one transaction, and each is answered after its COMMIT.

A commit costs a flush of the disk whatever it holds. While one runs, the next batch gathers by itself, so batches grow
with the load and an idle daemon adds no delay. Everything waiting is bounded, by count and by size; a caller that
finds no room is told at once. One bad item cannot spoil the others: a batch that the database refuses for its data is
halved until the bad ones stand alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from remediator.adapters.ledger.errors import LedgerReason, ledger_error, translated
from remediator.adapters.ledger.pool import Connection, LedgerPool, borrowed, is_lost, transaction_on
from remediator.model.errors import InvariantBroken, LedgerError

T = TypeVar("T")
R = TypeVar("R")

Write = Callable[[Connection, Sequence[T]], Awaitable[Sequence[R]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLimits:
    """Bounds of a group commit: of one batch, of everything that waits (in items and bytes), and of a caller's wait.

    One writer serves small items best, for its batches are larger; a further one of ``writers`` begins where
    ``spread_bytes`` wait, and then the server works on one batch while the next is being made.
    """

    batch_items: int = 512
    batch_bytes: int = 8 << 20
    waiting_items: int = 4096
    waiting_bytes: int = 64 << 20
    seconds: float = 5.0
    writers: int = 1
    spread_bytes: int = 128 << 10


@dataclass(slots=True, eq=False)
class _Waiting(Generic[T, R]):
    item: T
    size: int
    deadline: float
    answer: asyncio.Future[R]


class GroupCommit(Generic[T, R]):
    """Callers ``put``; whoever owns the task runs ``run``; ``close`` lets it drain and end."""

    def __init__(
        self,
        pool: LedgerPool,
        write: Write[T, R],
        *,
        size: Callable[[T], int],
        limits: GroupLimits | None = None,
        is_one_statement: Callable[[Sequence[T]], bool] = lambda _: False,
    ) -> None:
        """``write`` stores items in a transaction on ``pool`` and returns one result for each, in their order.

        ``write`` may be called again with a part of the same items after the transaction was rolled back. ``size``
        tells about how many bytes an item takes in memory. Where ``is_one_statement`` says that ``write`` sends only
        one for these items, and the server is spoken with directly, that statement is the transaction: two round trips
        are saved.
        """
        self._pool = pool
        self._write = write
        self._size = size
        self._limits = limits or GroupLimits()
        self._is_one_statement = is_one_statement
        self._waiting: deque[_Waiting[T, R]] = deque()
        # All callers have the same patience, so deadlines pass in the order of arrival and one timer is enough.
        self._unanswered: deque[_Waiting[T, R]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._bytes = 0
        self._wake = asyncio.Event()
        self._open = True

    @property
    def waiting(self) -> int:
        """How many items wait for a transaction."""
        return len(self._waiting)

    async def put(self, item: T) -> R:
        """Store ``item`` and return its result after COMMIT.

        Raises LedgerError: ``full`` at once when too much waits, ``closing``, ``timeout`` when the deadline passes
        (the item may be stored all the same), or what the database said.
        """
        if not self._open:
            raise ledger_error(LedgerReason.CLOSING, "the daemon is shutting down")
        limits, size = self._limits, self._size(item)
        if len(self._waiting) >= limits.waiting_items or self._bytes + size > limits.waiting_bytes:
            raise ledger_error(LedgerReason.FULL, f"{len(self._waiting)} items ({self._bytes} bytes) wait to be stored")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R] = loop.create_future()
        waiting = _Waiting(item, size, loop.time() + limits.seconds, answer)
        self._waiting.append(waiting)
        self._unanswered.append(waiting)
        self._bytes += size
        if self._timer is None:
            self._timer = loop.call_at(waiting.deadline, self._time_out)
        self._wake.set()
        return await answer

    def close(self) -> None:
        """Take nothing more; ``run`` ends when all that waits is stored."""
        self._open = False
        self._wake.set()

    async def run(self) -> None:
        """Store what is put until ``close``. When it is cancelled or fails, everybody who waits is told."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._limits.writers):
                    group.create_task(self._writer(first=number == 0), name=f"group-commit-{number}")
        finally:
            self._open = False
            self._bytes = 0
            _fail(self._waiting, ledger_error(LedgerReason.CLOSING, "the daemon ended before this was stored"))
            self._waiting.clear()
            self._unanswered.clear()
            if self._timer is not None:
                self._timer.cancel()

    async def _writer(self, *, first: bool) -> None:
        while True:
            if batch := self._take(first=first):
                await self._work(batch, first=first)
            elif self._open:
                self._wake.clear()
                await self._wake.wait()
            else:
                return

    async def _work(self, batch: list[_Waiting[T, R]], *, first: bool) -> None:
        """Store this batch and all that gathers meanwhile, on one connection; given back when nothing waits."""
        try:
            async with borrowed(self._pool) as connection:
                while batch:
                    await self._store(connection, batch)
                    self._forget_answered()
                    if is_lost(connection):
                        break
                    # Callers whose requests are read already may come aboard.
                    await asyncio.sleep(0)
                    batch = self._take(first=first)
        except LedgerError as error:
            _fail(batch, error)
        except BaseException:
            _fail(batch, ledger_error(LedgerReason.CLOSING, "the daemon ended while this was stored"))
            raise

    def _take(self, *, first: bool) -> list[_Waiting[T, R]]:
        batch: list[_Waiting[T, R]] = []
        size = 0
        limits = self._limits
        if not first and self._bytes < limits.spread_bytes:
            return batch
        while self._waiting and len(batch) < limits.batch_items:
            following = self._waiting[0]
            if batch and size + following.size > limits.batch_bytes:
                break
            self._waiting.popleft()
            self._bytes -= following.size
            # Whoever gave up was not told that it is stored, and will send it again.
            if not following.answer.done():
                batch.append(following)
                size += following.size
        return batch

    async def _store(self, connection: Connection, batch: Sequence[_Waiting[T, R]]) -> None:
        try:
            results = await self._commit(connection, [waiting.item for waiting in batch])
        except LedgerError as error:
            if error.retryable or len(batch) == 1:
                _fail(batch, error)
                return
        else:
            for waiting, result in zip(batch, results, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(result)
            return
        middle = len(batch) // 2
        await self._store(connection, batch[:middle])
        await self._store(connection, batch[middle:])

    def _time_out(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        seconds = self._limits.seconds
        while self._unanswered:
            first = self._unanswered[0]
            if not first.answer.done():
                if first.deadline > loop.time():
                    self._timer = loop.call_at(first.deadline, self._time_out)
                    return
                first.answer.set_exception(ledger_error(LedgerReason.TIMEOUT, f"not stored within {seconds:g} s"))
            self._unanswered.popleft()

    def _forget_answered(self) -> None:
        while self._unanswered and self._unanswered[0].answer.done():
            self._unanswered.popleft()

    async def _commit(self, connection: Connection, items: Sequence[T]) -> Sequence[R]:
        if self._pool.direct and self._is_one_statement(items):
            with translated():
                return self._checked(await self._write(connection, items), items)
        async with transaction_on(self._pool, connection):
            return self._checked(await self._write(connection, items), items)

    def _checked(self, results: Sequence[R], items: Sequence[T]) -> Sequence[R]:
        if len(results) != len(items):
            raise InvariantBroken(f"{len(results)} results for {len(items)} items")
        return results


def _fail(batch: Iterable[_Waiting[T, R]], error: LedgerError) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            # One exception object for each: a shared one would gather the traceback of every caller.
            copy = LedgerError(error.reason, error.message, retryable=error.retryable, retry_after=error.retry_after)
            copy.__cause__ = error.__cause__
            waiting.answer.set_exception(copy)
