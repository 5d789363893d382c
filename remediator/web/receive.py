"""The body of a request, read with a bound on everything: size, time, and memory over all requests together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

from remediator.web.answers import Refusal

DEADLINE = web.RequestKey("deadline", float)
"""Until when the body of a request has to be here, in the loop's time; the boundary sets it."""

_TOO_LARGE = 413
_TOO_SLOW = 408
_BUSY = 503
_BAD_REQUEST = 400
_NOT_PLAIN = 415


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Bounds in bytes: of one body, and of all bodies that are being received or parsed at one time."""

    one: int = 5 * 2**20
    together: int = 64 * 2**20


class BodyReader:
    """Reads bodies; one for the whole server, because it counts the memory of all requests."""

    def __init__(self, limits: BodyLimits) -> None:
        """Begin with nothing in memory."""
        self._limits = limits
        self._held = 0

    async def read(self, request: web.BaseRequest, deadline: float) -> bytes:
        """Return the whole body; ``deadline`` is loop time. The caller gives its memory back with ``release``.

        Raises Refusal: 415 compressed, 413 too large, 408 too slow, 503 too much at one time, 400 broken off.
        """
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            refusal = Refusal(_NOT_PLAIN, "encoding", "send the body without compression")
            raise refusal.with_header("Accept-Encoding", "identity")
        if (request.content_length or 0) > self._limits.one:
            raise self._too_large()
        if request.content.is_eof():
            # The usual case: the whole request came in one packet.
            body = request.content.read_nowait()
            self._hold(0, len(body))
            return body
        return await self._stream(request, deadline)

    def release(self, size: int) -> None:
        """Give back the memory of a body that has been dealt with."""
        self._held -= size

    async def _stream(self, request: web.BaseRequest, deadline: float) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout_at(deadline):
                while chunk := await request.content.readany():
                    self._hold(len(body), len(chunk))
                    body += chunk
            return bytes(body)
        except TimeoutError as error:
            self.release(len(body))
            raise Refusal(_TOO_SLOW, "too_slow", f"no complete body in time, {len(body)} bytes came") from error
        except (web.RequestPayloadError, ConnectionError) as error:
            self.release(len(body))
            raise Refusal(_BAD_REQUEST, "broken_off", f"the body broke off after {len(body)} bytes") from error
        except BaseException:
            self.release(len(body))
            raise

    def _hold(self, have: int, more: int) -> None:
        if have + more > self._limits.one:
            raise self._too_large()
        if self._held + more > self._limits.together:
            raise Refusal(_BUSY, "memory", "too many large bodies at one time").with_header("Retry-After", "1")
        self._held += more

    def _too_large(self) -> Refusal:
        message = f"the body is larger than {self._limits.one} bytes; lower max_alerts or group by more labels"
        return Refusal(_TOO_LARGE, "too_large", message)
