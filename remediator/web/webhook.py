"""``POST /api/v1/webhooks/alertmanager``: an alert is taken when it is committed, and not a moment before.

Alertmanager tries again only after a 5xx or when the connection fails; any 4xx, 429 too, ends its attempts for this
round, and a redirect turns the request into an empty GET that it counts as success. So: 503 whenever trying again can
help, 4xx only for what no repetition can cure, 405 for the GET, and never a redirect.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from remediator.intake.alertmanager import parse
from remediator.intake.scrub import scrub
from remediator.model.errors import LedgerError, SignalRejected
from remediator.model.signal import Delivery, Receipt
from remediator.ports.clock import Clock
from remediator.ports.inbox import Inbox
from remediator.ports.observer import Observer, StageEvent
from remediator.web.answers import Refusal, json_answer, refusal_answer
from remediator.web.credentials import DEFAULT_SOURCE, Credentials
from remediator.web.receive import DEADLINE, BodyReader

PATHS = ("/api/v1/webhooks/alertmanager", "/api/v1/webhooks/alertmanager/", "/")

_RETRY_AFTER_S = 5
_SHOWN_CHARS = 300
STORE_WORDS = {"full": "full", "timeout": "deadline"}
"""What a refusal is called where the store has a reason of its own; any other is ``store``."""


@dataclass(frozen=True, slots=True)
class WebhookLimits:
    """Bodies of more than ``inline_bytes`` are parsed in a thread, so that the others need not wait."""

    inline_bytes: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class WebhookParts:
    """What the webhook is made of. ``client_certificate``: a verified one is required."""

    inbox: Inbox
    clock: Clock
    observer: Observer
    credentials: Credentials
    reader: BodyReader
    threads: Executor
    client_certificate: bool = False


class Webhook:
    """Takes what Alertmanager posts."""

    def __init__(self, parts: WebhookParts, limits: WebhookLimits) -> None:
        """Be ready."""
        self._parts = parts
        self._limits = limits

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request: 200 after COMMIT, otherwise why not."""
        clock = self._parts.clock
        begun = clock.monotonic()
        try:
            source = self._sender(request)
            body = await self._parts.reader.read(request, request[DEADLINE])
            try:
                delivery = await self._parse(body, source)
            finally:
                self._parts.reader.release(len(body))
            receipt = await self._accept(delivery)
        except Refusal as refusal:
            self._tell_refusal(request, refusal, clock.monotonic() - begun)
            return refusal_answer(refusal)
        self._tell_receipt(delivery, receipt, clock.monotonic() - begun)
        return json_answer(receipt)

    def _sender(self, request: web.BaseRequest) -> str:
        """Return who posts. Raises Refusal before anything of the body is read."""
        if request.method != "POST":
            raise Refusal(405, "method", "post Alertmanager's JSON to this path; was it redirected?").with_header(
                "Allow", "POST"
            )
        if self._parts.client_certificate and not _certificate(request):
            raise Refusal(403, "certificate", "a client certificate of the configured authority is required")
        if not self._parts.credentials.required:
            return DEFAULT_SOURCE
        source = self._parts.credentials.source_of(request.headers.get("Authorization"))
        if source is None:
            raise Refusal(401, "unauthorized", "missing or wrong credentials").with_header(
                "WWW-Authenticate", self._parts.credentials.challenge
            )
        return source

    async def _parse(self, body: bytes, source: str) -> Delivery:
        received_at = self._parts.clock.now()
        work = partial(parse, body, source=source, received_at=received_at)
        try:
            if len(body) <= self._limits.inline_bytes:
                return work()
            return await asyncio.get_running_loop().run_in_executor(self._parts.threads, work)
        except SignalRejected as error:
            message, path = scrub(error.message, _SHOWN_CHARS), scrub(error.path, _SHOWN_CHARS)
            raise Refusal(400, "malformed", message, path=path) from error

    async def _accept(self, delivery: Delivery) -> Receipt:
        # The inbox has a deadline of its own, which comes before Alertmanager's patience (10 s) ends.
        try:
            return await self._parts.inbox.accept(delivery)
        except LedgerError as error:
            message = scrub(f"{error.reason}: {error.message}; send it again", _SHOWN_CHARS)
            raise _unavailable(STORE_WORDS.get(error.reason, "store"), message, error.retry_after) from error

    def _tell_refusal(self, request: web.BaseRequest, refusal: Refusal, seconds: float) -> None:
        fields = {
            "code": refusal.status,
            "method": request.method,
            "peer": request.remote,
            "error": refusal.message,
            **refusal.extra,
        }
        self._parts.observer.tell(StageEvent(stage="webhook", outcome=refusal.reason, seconds=seconds, fields=fields))

    def _tell_receipt(self, delivery: Delivery, receipt: Receipt, seconds: float) -> None:
        tell = self._parts.observer.tell
        fields = {
            "code": 200,
            "source": delivery.source,
            "group_key": delivery.group_key,
            "new": receipt.new,
            "known": receipt.known,
        }
        tell(StageEvent(stage="webhook", outcome="accepted", seconds=seconds, fields=fields))
        if delivery.truncated:
            tell(StageEvent(stage="intake", outcome="truncated", count=delivery.truncated, fields=fields))
        if delivery.quarantined:
            first = delivery.quarantined[0]
            fields |= {"path": first.path, "reason": first.reason}
            tell(StageEvent(stage="intake", outcome="quarantined", count=len(delivery.quarantined), fields=fields))


def _certificate(request: web.BaseRequest) -> bool:
    return request.transport is not None and bool(request.transport.get_extra_info("peercert"))


def _unavailable(reason: str, message: str, retry_after: float | None) -> Refusal:
    wait = _RETRY_AFTER_S if retry_after is None else max(1, round(retry_after))
    return Refusal(503, reason, message).with_header("Retry-After", str(wait))
