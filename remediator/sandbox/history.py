"""What changed, in order: the bounded history behind watches, and the subscriptions that follow it."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from remediator.sandbox.resources import GroupResource, Json

ChangeKind = Literal["ADDED", "MODIFIED", "DELETED"]

DEFAULT_HISTORY = 50_000
DEFAULT_BACKLOG = 50_000


class ExpiredError(Exception):
    """The asked version is older than what is kept; read everything again."""


@dataclass(frozen=True, slots=True)
class Change:
    """One committed change of one object; `object` and `previous` must not be mutated."""

    kind: ChangeKind
    resource: GroupResource
    namespace: str
    name: str
    version: int
    object: Json
    previous: Json | None


class Subscription:
    """The changes since it was opened, in order; iterate it from one task.

    It holds a bounded backlog. A reader that falls further behind gets ExpiredError instead of a gap.
    """

    def __init__(self, accepts: Callable[[Change], bool], backlog: int, detach: Callable[[Subscription], None]) -> None:
        """Take what `accepts` likes, at most `backlog` unread changes; `detach` ends the delivery."""
        self._accepts = accepts
        self._backlog = backlog
        self._detach = detach
        self._pending: deque[Change] = deque()
        self._wake = asyncio.Event()
        self._overflowed = False
        self._closed = False

    def offer(self, change: Change) -> None:
        """Deliver one change; called by the store."""
        if self._closed or self._overflowed or not self._accepts(change):
            return
        if len(self._pending) >= self._backlog:
            self._overflowed = True
            self._pending.clear()
        else:
            self._pending.append(change)
        self._wake.set()

    def drain(self) -> list[Change]:
        """Return what is waiting, without waiting; ExpiredError after an overflow."""
        if self._overflowed:
            raise ExpiredError
        changes = list(self._pending)
        self._pending.clear()
        self._wake.clear()
        return changes

    async def wait(self) -> None:
        """Return once something is there to drain, or the subscription is closed."""
        await self._wake.wait()

    @property
    def closed(self) -> bool:
        """Tell whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Stop the delivery and end an iteration under way."""
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        self._detach(self)

    def __aiter__(self) -> Subscription:
        """Iterate over the changes."""
        return self

    async def __anext__(self) -> Change:
        """Return the next change; ends when closed; ExpiredError after an overflow."""
        while True:
            if self._overflowed:
                raise ExpiredError
            if self._pending:
                return self._pending.popleft()
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()


class History:
    """The last changes, up to `limit`, and who is to hear of new ones."""

    def __init__(self, limit: int = DEFAULT_HISTORY) -> None:
        """Keep at most `limit` changes."""
        self._limit = limit
        self._changes: list[Change] = []
        self._versions: list[int] = []
        self._first_version = 0
        self._subscriptions: list[Subscription] = []
        self._listeners: list[Callable[[Change], None]] = []

    @property
    def oldest(self) -> int:
        """Return the oldest version from which a watch can still be continued."""
        return self._first_version

    def append(self, change: Change) -> None:
        """Keep a change and hand it to all subscribers, in the order they came."""
        self._changes.append(change)
        self._versions.append(change.version)
        # Trimmed in halves, so that the cost of moving a list is spread over many changes.
        if len(self._changes) > self._limit * 2:
            self.compact(self._versions[-self._limit - 1])
        for listener in tuple(self._listeners):
            listener(change)
        for subscription in tuple(self._subscriptions):
            subscription.offer(change)

    def compact(self, version: int) -> None:
        """Forget every change up to and including `version`."""
        cut = bisect_right(self._versions, version)
        del self._changes[:cut]
        del self._versions[:cut]
        self._first_version = max(self._first_version, version)

    def since(self, version: int) -> list[Change]:
        """Return the changes after `version`; ExpiredError when some of them are forgotten."""
        if version < self._first_version:
            raise ExpiredError
        return self._changes[bisect_right(self._versions, version) :]

    def undo_until(self, version: int) -> Iterator[Change]:
        """Yield the changes after `version`, newest first; ExpiredError as in `since`."""
        return reversed(self.since(version))

    def subscribe(
        self, accepts: Callable[[Change], bool] = lambda _: True, *, backlog: int = DEFAULT_BACKLOG
    ) -> Subscription:
        """Open a subscription to all later changes that `accepts` likes."""
        subscription = Subscription(accepts, backlog, self._subscriptions.remove)
        self._subscriptions.append(subscription)
        return subscription

    def listen(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` at every later change, inside the write; returns what ends it. It must be quick."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
