"""What the API server's refusals mean: status and body to a closed reason, a scrubbed message, and when to come back.

Not every error is a Status object: some are plain text, some lack a reason, and a 422 quotes the whole object with
its env values. So bodies are parsed by content, and messages are scrubbed and cut before they go anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping
from typing import TypeVar

import msgspec

from remediator import redaction
from remediator.model.errors import ClusterError

T = TypeVar("T")

MESSAGE_LENGTH = 256
LONGEST_RETRY_AFTER = 3600.0

_REASONS = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "invalid",
    409: "conflict",
    410: "expired",
    413: "invalid",
    415: "invalid",
    422: "invalid",
    429: "throttled",
}
# Reading again may help: the token may have been rotated, the server may be back, the list may be started anew.
_RETRYABLE = frozenset({"unauthorized", "conflict", "expired", "throttled", "unavailable"})

_QUOTED = re.compile(r'Invalid value: "(?:[^"\\]|\\.)*(?:"|\Z)', re.DOTALL)
_DOCUMENT = re.compile(r"\{.*\}|map\[.*\]", re.DOTALL)


class NotSentError(ClusterError):
    """The request never left: nothing can have happened because of it."""


class NoAnswerError(ClusterError):
    """The request may have left, and no answer came: the other side may have done it."""


class Cause(msgspec.Struct, frozen=True):
    """One cause of a refusal; ``field`` is the path of what was at fault."""

    reason: str | None = None
    message: str | None = None
    field: str | None = None


class _Details(msgspec.Struct, frozen=True, rename="camel"):
    causes: tuple[Cause, ...] | None = None
    retry_after_seconds: float | None = None


class _Status(msgspec.Struct, frozen=True):
    reason: str | None = None
    message: str | None = None
    details: _Details | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal, read: ``reason`` is ours (closed), ``status_reason`` the server's; the message is fit for a log."""

    status: int
    reason: str
    status_reason: str
    message: str
    causes: tuple[Cause, ...] = ()
    retry_after: float | None = None


_decoder = msgspec.json.Decoder(_Status)


def read_refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """Make sense of an answer outside 2xx, whatever its body is. Never raises."""
    try:
        said = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _Status(message=body[: 4 * MESSAGE_LENGTH].decode("utf-8", "replace"))
    details = said.details or _Details()
    return Refusal(
        status=status,
        reason=_REASONS.get(status, "unavailable" if status >= 500 else "unexpected"),  # noqa: PLR2004 - HTTP's own
        status_reason=(said.reason or "")[:64],
        message=scrub(said.message or ""),
        causes=details.causes or (),
        retry_after=_retry_after(headers.get("Retry-After"), details.retry_after_seconds),
    )


def to_error(place: str, refusal: Refusal) -> ClusterError:
    """Turn a refused read into the error that its caller gets; ``place`` names the request (``GET /api/...``)."""
    said = ": ".join(part for part in (refusal.status_reason, refusal.message) if part)
    return ClusterError(
        refusal.reason,
        f"{place} answered {refusal.status}{': ' if said else ''}{said}",
        retryable=refusal.reason in _RETRYABLE,
        retry_after=refusal.retry_after,
    )


async def attempt(call: Awaitable[T]) -> T | ClusterError:
    """Return what a read gives, or its failure as a value: so that one of several at once can fail alone."""
    try:
        return await call
    except ClusterError as error:
        return error


def scrub(message: str) -> str:
    """Leave out quoted values and documents, redact what looks like a secret, and cut to 256 characters."""
    shown = _QUOTED.sub("Invalid value: (left out)", message)
    shown = _DOCUMENT.sub("(left out)", shown)
    shown = redaction.text(" ".join(shown.split()))
    return shown if len(shown) <= MESSAGE_LENGTH else shown[: MESSAGE_LENGTH - 3] + "..."


def _retry_after(header: str | None, detail: float | None) -> float | None:
    # The API server always says seconds; a date would come from a proxy and is left to our own back-off.
    if header is not None and header.strip().isascii() and header.strip().isdigit() and len(header) <= 9:  # noqa: PLR2004
        return min(float(header), LONGEST_RETRY_AFTER)
    if detail is not None and detail > 0:
        return min(detail, LONGEST_RETRY_AFTER)
    return None
