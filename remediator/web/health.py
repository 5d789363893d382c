"""``/livez``, ``/readyz`` and ``/metrics``.

``/livez`` asks what only a restart can cure (a dead task), ``/readyz`` what keeps us from working now (the database,
a full inbox). Both may be asked by anybody who reaches the port, so an answer is reused for a second: asking often
costs the database nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from remediator.intake.scrub import scrub
from remediator.model.errors import RemediatorError
from remediator.ports.clock import Clock
from remediator.ports.health import HealthCheck, HealthStatus
from remediator.web.answers import json_answer, plain_answer

_UNAVAILABLE = 503
_DETAIL_CHARS = 300
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Check:
    """Implements ports.health.HealthCheck with a function."""

    name: str
    ask: Callable[[], Awaitable[HealthStatus]]

    async def check(self) -> HealthStatus:
        """Ask."""
        return await self.ask()


class Health:
    """A list of checks behind one path. Each has ``deadline_s``; answers are reused for ``reuse_s`` (seconds)."""

    def __init__(
        self, checks: Sequence[HealthCheck], clock: Clock, *, deadline_s: float = 2.0, reuse_s: float = 1.0
    ) -> None:
        """Be ready to ask."""
        self._checks = tuple(checks)
        self._clock = clock
        self._deadline_s = deadline_s
        self._reuse_s = reuse_s
        self._asking = asyncio.Lock()
        self._answer: Mapping[str, HealthStatus] = {}
        self._good_until = float("-inf")

    async def handle(self, _request: web.BaseRequest) -> web.Response:
        """Answer 200 where every check is ok, 503 otherwise, with each check by name."""
        answer = await self.look()
        ok = all(status.ok for status in answer.values())
        content: dict[str, Any] = {"ok": ok, "checks": answer}
        return json_answer(content, status=200 if ok else _UNAVAILABLE)

    async def look(self) -> Mapping[str, HealthStatus]:
        """Return each check's answer, at most ``reuse_s`` old."""
        async with self._asking:
            if self._clock.monotonic() >= self._good_until:
                self._answer = await self._ask_all()
                self._good_until = self._clock.monotonic() + self._reuse_s
            return self._answer

    async def _ask_all(self) -> Mapping[str, HealthStatus]:
        async with asyncio.TaskGroup() as tasks:
            asked = {check.name: tasks.create_task(self._ask(check)) for check in self._checks}
        return {name: task.result() for name, task in asked.items()}

    async def _ask(self, check: HealthCheck) -> HealthStatus:
        try:
            async with asyncio.timeout(self._deadline_s):
                return await check.check()
        except TimeoutError:
            return HealthStatus(ok=False, detail=f"no answer within {self._deadline_s:g} s")
        except RemediatorError as error:
            return HealthStatus(ok=False, detail=scrub(str(error), _DETAIL_CHARS))


def metrics_handler(render: Callable[[], bytes]) -> Callable[[web.BaseRequest], Any]:
    """Return the handler of ``/metrics``; ``render`` makes the text in Prometheus's exposition format."""

    async def handle(_request: web.BaseRequest) -> web.Response:
        return plain_answer(render(), _METRICS_TYPE)

    return handle
