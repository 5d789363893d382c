"""The routes, and what happens to a request that no route expects.

Six paths need no framework: aiohttp's own server calls ``App.handle``, and what a routing table, middlewares and a
request's context would cost is a tenth of what taking an alert costs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import web

from remediator.model.errors import InvariantBroken
from remediator.ports.observer import Observer, StageEvent
from remediator.web.answers import Refusal, refusal_answer
from remediator.web.door import Door
from remediator.web.health import Health, metrics_handler
from remediator.web.receive import DEADLINE
from remediator.web.webhook import PATHS, Webhook

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.Response]]

_READING = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class AppParts:
    """What the routes lead to. ``on_bug`` is told of an InvariantBroken: the supervisor ends the process."""

    webhook: Webhook
    live: Health
    ready: Health
    render_metrics: Callable[[], bytes]
    door: Door
    observer: Observer
    on_bug: Callable[[InvariantBroken], None]


class App:
    """Leads requests to their handlers. No path ever redirects: Alertmanager would take the redirect for success."""

    def __init__(self, parts: AppParts) -> None:
        """Lay the routes."""
        self._parts = parts
        # The webhook looks at the method itself: a GET there is a lost alert, and it says so.
        self._posts: dict[str, Handler] = dict.fromkeys(PATHS, parts.webhook.handle)
        self._gets: dict[str, Handler] = {
            "/livez": parts.live.handle,
            "/readyz": parts.ready.handle,
            "/metrics": metrics_handler(parts.render_metrics),
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request: the boundary that accounts for every one of them and lets no exception pass."""
        parts = self._parts
        request[DEADLINE] = parts.door.begin(request.protocol)
        try:
            answer = await self._route(request)
        except InvariantBroken as error:
            parts.on_bug(error)
            answer = _fault(parts, request, error)
        except Exception as error:  # noqa: BLE001 - the boundary: a bug costs its request, and is told with its traceback
            answer = _fault(parts, request, error)
        finally:
            parts.door.end(request.protocol)
        if parts.door.draining:
            answer.force_close()
        return answer

    async def _route(self, request: web.BaseRequest) -> web.Response:
        path = request.path
        handler = self._posts.get(path)
        if handler is not None:
            return await handler(request)
        handler = self._gets.get(path)
        if handler is None:
            return refusal_answer(Refusal(404, "no_such_path", f"nothing here; post alerts to {PATHS[0]}"))
        if request.method not in _READING:
            refusal = Refusal(405, "method", f"{request.method} is not for this path")
            return refusal_answer(refusal.with_header("Allow", ", ".join(sorted(_READING))))
        return await handler(request)


def _fault(parts: AppParts, request: web.BaseRequest, error: Exception) -> web.Response:
    fields = {"method": request.method, "path": request.path, "exc_info": error}
    parts.observer.tell(StageEvent(stage="http", outcome="fault", fields=fields))
    return refusal_answer(Refusal(500, "fault", f"a fault of ours ({type(error).__name__}); the log has it"))
