"""The routes, and what happens to a request that no route expects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from remediator.model.errors import InvariantBroken
from remediator.ports.observer import Observer, StageEvent
from remediator.web.answers import Refusal, refusal_answer
from remediator.web.door import Door
from remediator.web.health import Health, metrics_handler
from remediator.web.receive import DEADLINE
from remediator.web.webhook import PATHS, Webhook


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


def build_app(parts: AppParts) -> web.Application:
    """Return the application. No path ever redirects: Alertmanager would take the redirect for success."""
    app = web.Application(middlewares=[_boundary(parts)])
    for path in PATHS:
        app.router.add_route("*", path, parts.webhook.handle)
    app.router.add_get("/livez", parts.live.handle)
    app.router.add_get("/readyz", parts.ready.handle)
    app.router.add_get("/metrics", metrics_handler(parts.render_metrics))
    return app


def _boundary(parts: AppParts) -> Middleware:
    """Return the middleware that accounts for every request and lets no exception pass."""

    @web.middleware
    async def boundary(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[DEADLINE] = parts.door.begin(request.protocol)
        try:
            answer = await handler(request)
            if parts.door.draining:
                answer.force_close()
            return answer
        except web.HTTPMethodNotAllowed as error:
            refusal = Refusal(405, "method", f"{request.method} is not for this path")
            return refusal_answer(refusal.with_header("Allow", error.headers["Allow"]))
        except web.HTTPException as error:
            return refusal_answer(Refusal(error.status, "no_such_path", f"nothing here; post alerts to {PATHS[0]}"))
        except InvariantBroken as error:
            parts.on_bug(error)
            return _fault(parts, request, error)
        except Exception as error:  # noqa: BLE001 - the boundary: a bug costs its request, and is told with its traceback
            return _fault(parts, request, error)
        finally:
            parts.door.end(request.protocol)

    return boundary


def _fault(parts: AppParts, request: web.Request, error: Exception) -> web.Response:
    fields = {"method": request.method, "path": request.path, "exc_info": error}
    parts.observer.tell(StageEvent(stage="http", outcome="fault", fields=fields))
    return refusal_answer(Refusal(500, "fault", f"a fault of ours ({type(error).__name__}); the log has it"))
