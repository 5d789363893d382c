"""Watches: a stream of changes, one JSON line each, from a version on or from the present state."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from aiohttp import web

from remediator.sandbox import tables, views
from remediator.sandbox.calls import Call, Target, parse_version
from remediator.sandbox.history import Change, ExpiredError, Subscription
from remediator.sandbox.reading import Selection, selection, wants_metadata
from remediator.sandbox.resources import Json, Resource
from remediator.sandbox.status import Cause, expired, invalid_options
from remediator.sandbox.store import Store, changed

DEFAULT_TIMEOUT = 1800.0
MAX_TIMEOUT = 3600.0
BOOKMARK_PERIOD = 60.0
BOOKMARK_BEFORE_END = 2.0
_INITIAL_END = {"k8s.io/initial-events-end": "true"}
# What a typed bookmark carries because its fields are not optional.
_EMPTY_PARTS: dict[str, Json] = {
    "Deployment": {
        "spec": {
            "replicas": 0,
            "selector": None,
            "template": {"metadata": {}, "spec": {"containers": None}},
            "strategy": {},
        },
        "status": {},
    },
    "Pod": {"spec": {"containers": None}, "status": {}},
    "Event": {"involvedObject": {}, "source": {}, "firstTimestamp": None, "lastTimestamp": None, "eventTime": None},
}


class Plan(NamedTuple):
    """How a watch is to run; `since` is None for a start with the present state."""

    since: int | None
    initial_end: bool
    bookmarks: bool
    timeout: float


def plan_of(call: Call) -> Plan:
    """Return how the query wants the watch; ApiError 400, 422 and 500 before any stream begins."""
    version_text = call.query.get("resourceVersion", "")
    match = call.query.get("resourceVersionMatch", "")
    initial = call.flag("sendInitialEvents")
    if match and not initial:
        _forbid("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
    if initial and match != "NotOlderThan":
        _forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    version = parse_version(version_text)
    seconds = call.number("timeoutSeconds")
    timeout = min(float(seconds), MAX_TIMEOUT) if seconds and seconds > 0 else DEFAULT_TIMEOUT
    bookmarks = call.flag("allowWatchBookmarks")
    since = version if version and not initial else None
    return Plan(since, bookmarks and (initial or not version_text), bookmarks, timeout)


def _forbid(why: str) -> None:
    raise invalid_options("ListOptions", Cause("FieldValueForbidden", f"Forbidden: {why}", "resourceVersionMatch"))


class Watch:
    """One watch under way: turns changes into the events that this client wants."""

    def __init__(self, store: Store, resource: Resource, call: Call, target: Target) -> None:
        """Check the query; ApiError when it cannot be watched so."""
        self._store = store
        self._resource = resource
        self._call = call
        self._namespace = target.namespace
        self._plan = plan_of(call)
        self._selection: Selection = selection(resource, call)
        self._table = tables.wants_table(call.accept)
        self._partial = wants_metadata(call.accept)
        self._last = 0
        self._subscription: Subscription | None = None

    def close(self) -> None:
        """End the stream; its client sees an orderly end."""
        if self._subscription is not None:
            self._subscription.close()

    async def run(self) -> web.StreamResponse:
        """Stream until the timeout, the end of the client or that of the store's subscription."""
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        # Subscribed before anything is awaited: no change can fall between the start and the stream.
        subscription = self._subscription = self._store.history.subscribe(self._concerns)
        try:
            first = b"".join(self._opening())
            await response.prepare(self._call.http)
            await response.write(first)
            await self._follow(response, subscription)
            await response.write_eof()
        except ExpiredError:
            await self._end_expired(response)
        except (ConnectionResetError, ConnectionError):
            # The client hung up, which is how most watches end.
            return response
        finally:
            subscription.close()
        return response

    def _concerns(self, change: Change) -> bool:
        return change.resource == self._resource.storage and self._namespace in {"", change.namespace}

    def _opening(self) -> Iterator[bytes]:
        """Yield what comes before the live changes; ExpiredError when the asked version is forgotten."""
        since = self._plan.since
        self._last = self._store.version
        if since is None:
            for item in self._store.list(self._resource.storage, self._namespace or None):
                if self._selection(item):
                    yield self._line("ADDED", self._seen(item))
            if self._plan.initial_end:
                yield self._bookmark(_INITIAL_END)
            return
        self._last = max(self._last, since)
        for change in self._store.history.since(since):
            if self._concerns(change):
                yield self._event(change)

    async def _follow(self, response: web.StreamResponse, subscription: Subscription) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._plan.timeout
        before_end = end - BOOKMARK_BEFORE_END
        next_mark = end
        if self._plan.bookmarks and before_end > loop.time():
            next_mark = min(before_end, loop.time() + BOOKMARK_PERIOD)
        while not subscription.closed:
            try:
                async with asyncio.timeout_at(min(end, next_mark)):
                    await subscription.wait()
            except TimeoutError:
                if loop.time() >= end:
                    return
                await response.write(self._bookmark({}))
                next_mark = loop.time() + BOOKMARK_PERIOD
                if loop.time() < before_end:
                    next_mark = min(before_end, next_mark)
                continue
            lines = [self._event(change) for change in subscription.drain() if change.version > self._last]
            if any(lines):
                await response.write(b"".join(lines))

    async def _end_expired(self, response: web.StreamResponse) -> None:
        oldest = self._store.history.oldest
        error = expired(f"too old resource version: {self._plan.since or 0} ({oldest})")
        if not response.prepared:
            await response.prepare(self._call.http)
        await response.write(self._line("ERROR", error.body()))
        await response.write_eof()

    def _event(self, change: Change) -> bytes:
        """Return the line for a change, b"" when this client does not see the object before nor after it."""
        is_in = change.kind != "DELETED" and self._selection(change.object)
        was_in = change.previous is not None and self._selection(change.previous)
        if not (is_in or was_in):
            return b""
        if is_in:
            return self._line("MODIFIED" if was_in else "ADDED", self._seen(change.object))
        if change.kind == "DELETED" or change.previous is None:
            return self._line("DELETED", self._seen(change.object))
        # It left the selection: the client sees it as it was when it still belonged, at the version of the change.
        left = changed(change.previous, ("metadata", "resourceVersion"), str(change.version))
        return self._line("DELETED", self._seen(left))

    def _seen(self, obj: Json) -> Json:
        seen = views.from_storage(self._resource, obj)
        if self._table:
            return tables.table(self._resource, [seen], obj["metadata"]["resourceVersion"], self._store.clock.now())
        return views.metadata_only(seen) if self._partial else seen

    def _bookmark(self, annotations: Json) -> bytes:
        metadata: Json = {"resourceVersion": str(self._store.version)}
        if annotations:
            metadata["annotations"] = annotations
        head = {"kind": self._resource.kind, "apiVersion": self._resource.group_version, "metadata": metadata}
        body = views.metadata_only(head) if self._partial else {**head, **_EMPTY_PARTS.get(self._resource.kind, {})}
        return self._line("BOOKMARK", body)

    @staticmethod
    def _line(kind: str, obj: Json) -> bytes:
        return msgspec.json.encode({"type": kind, "object": obj}) + b"\n"
