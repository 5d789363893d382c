"""Answers to HTTP requests, all of one shape, and the refusal that a handler raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

_HEADERS = {"Server": "remediator", "Cache-Control": "no-store"}


class Refusal(Exception):
    """A request is not taken. ``reason`` is one word of a closed set: it becomes a metric label.

    ``message`` is for whoever reads Alertmanager's log, where it ends up.
    """

    def __init__(self, status: int, reason: str, message: str, **extra: str) -> None:
        """Keep status, reason and message; ``extra`` goes into the JSON body."""
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.extra = extra
        self.headers: dict[str, str] = {}

    def with_header(self, name: str, value: str) -> Refusal:
        """Return the refusal with one more header."""
        self.headers[name] = value
        return self


def json_answer(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON response."""
    return web.Response(
        body=msgspec.json.encode(content),
        status=status,
        content_type="application/json",
        headers={**_HEADERS, **headers} if headers else _HEADERS,
    )


def plain_answer(content: bytes, content_type: str) -> web.Response:
    """Return a response with a body of another kind; ``content_type`` may carry parameters."""
    return web.Response(body=content, headers={**_HEADERS, "Content-Type": content_type})


def refusal_answer(refusal: Refusal) -> web.Response:
    """Return the response that a refusal means."""
    content = {"error": refusal.message, "reason": refusal.reason, **refusal.extra}
    return json_answer(content, status=refusal.status, headers=refusal.headers)
