"""READ FIRST: what happens to a request, from the socket to the answer and the request log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

import msgspec
import yaml
from aiohttp import web

from remediator.sandbox.auth import Tokens
from remediator.sandbox.calls import Answer, Call, parse_path
from remediator.sandbox.dispatch import Dispatcher
from remediator.sandbox.podlogs import LogSource
from remediator.sandbox.requestlog import RequestLog, RequestRecord
from remediator.sandbox.status import ApiError, TextError
from remediator.sandbox.store import Store
from remediator.sandbox.watching import Watch

MAX_BODY_BYTES = 3 * 1024 * 1024
# The log keeps a hundred thousand requests; large bodies are there as their size only.
MAX_LOGGED_BYTES = 64 * 1024
TOKEN_PATH = "/-/"  # noqa: S105 - where a token stands, not one
_JSON_ACCEPTED = ("*/*", "application/*", "application/json", "application/vnd.kubernetes.protobuf")

Proceed = Callable[[], Awaitable[web.StreamResponse]]


class Middleware(Protocol):
    """Something that stands before the API: it may answer itself, wait, break the connection, or go on."""

    async def __call__(self, call: Call, proceed: Proceed) -> web.StreamResponse:
        """Return the answer, usually that of `proceed()`."""


class Api:
    """The whole API over one store."""

    def __init__(self, store: Store, tokens: Tokens, log_source: LogSource) -> None:
        """Serve `store`, with logs out of `log_source`."""
        self.store = store
        self.tokens = tokens
        self.dispatcher = Dispatcher(store, tokens, log_source)
        self.requests = RequestLog()
        self.middlewares: list[Middleware] = []
        self._watches: set[Watch] = set()

    def close_watches(self) -> None:
        """End every watch that is under way."""
        for watch in tuple(self._watches):
            watch.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request and note it."""
        number, before = self.requests.next_number(), self.store.version
        user_name, status, body = "", 0, b""
        path, header = _split_token(request)
        try:
            body = await request.read()
            user = self.tokens.authenticate(header)
            user_name = user.name
            target, gate = parse_path(path), self.dispatcher.gate
            call = Call(request, request.method, path, request.query, user, body, target, gate)
            response = await self._through(call, 0)
            status = response.status
        except web.HTTPRequestEntityTooLarge:
            message = f"Request entity too large: limit is {MAX_BODY_BYTES}"
            response = _refusal(ApiError(413, message, "RequestEntityTooLarge"))
            status = response.status
        except ApiError as error:
            response = _refusal(error)
            status = response.status
        finally:
            record = RequestRecord(
                number=number,
                at=self.store.clock.now(),
                method=request.method,
                path=path,
                query=dict(request.query),
                user=user_name,
                user_agent=request.headers.get("User-Agent", ""),
                status=status,
                content_type=request.headers.get("Content-Type", ""),
                body=_logged(body),
                version_before=before,
                version=self.store.version,
            )
            self.requests.add(record)
        return response

    async def _through(self, call: Call, position: int) -> web.StreamResponse:
        if position < len(self.middlewares):
            return await self.middlewares[position](call, lambda: self._through(call, position + 1))
        try:
            answer = self.dispatcher.answer(call)
            if isinstance(answer, Watch):
                return await self._stream(answer)
            return _response(call, answer)
        except ApiError as error:
            return _refusal(error, call.warned)
        except TextError as error:
            return web.Response(status=error.code, text=error.text)

    async def _stream(self, watch: Watch) -> web.StreamResponse:
        self._watches.add(watch)
        try:
            return await watch.run()
        finally:
            self._watches.discard(watch)


def _split_token(request: web.Request) -> tuple[str, str | None]:
    """Return the path and the Authorization header; a path may begin with `/-/TOKEN`.

    kubectl sends no credentials over plain HTTP, so its kubeconfig has the token in the server's address.
    """
    path, header = request.path, request.headers.get("Authorization")
    if path.startswith(TOKEN_PATH):
        token, _, rest = path.removeprefix(TOKEN_PATH).partition("/")
        return f"/{rest}", header or f"Bearer {token}"
    return path, header


def _logged(body: bytes) -> Any:
    if not body:
        return None
    if len(body) > MAX_LOGGED_BYTES:
        return f"({len(body)} bytes)"
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode(errors="replace")


def _response(call: Call, answer: Answer) -> web.Response:
    if isinstance(answer.body, str):
        body, content_type = answer.body.encode(), answer.content_type
    elif "application/yaml" in call.accept and "application/json" not in call.accept:
        body, content_type = yaml.safe_dump(answer.body).encode(), "application/yaml"
    elif call.accept and not any(media in call.accept for media in _JSON_ACCEPTED):
        available = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
        message = f"406: Not Acceptable\n\nAvailable representations: {available}"
        raise ApiError(406, message, "NotAcceptable", {})
    else:
        body, content_type = msgspec.json.encode(answer.body), answer.content_type
    response = web.Response(status=answer.status, body=body, headers={"Content-Type": content_type})
    _warn(response, (*answer.warnings, *call.warned))
    return response


def _refusal(error: ApiError, warnings: Iterable[str] = ()) -> web.Response:
    headers = {"Content-Type": "application/json"}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    response = web.Response(status=error.code, body=msgspec.json.encode(error.body()), headers=headers)
    _warn(response, warnings)
    return response


def _warn(response: web.Response, warnings: Iterable[str]) -> None:
    for warning in warnings:
        text = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{text}"')
