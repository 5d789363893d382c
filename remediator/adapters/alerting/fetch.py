"""One request to a program of the monitoring: a deadline, a bounded answer, credentials from a file, no redirect."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from remediator import __version__
from remediator.model.errors import ConfigError, MonitoringError

MOST_BYTES = 32 << 20
"""How large an answer may be: some twenty thousand alerts."""
CHUNK_BYTES = 64 << 10
CONNECT_S = 3.0
TOTAL_S = 10.0
_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to be let in. The files are read anew for each request, so that secrets can be exchanged."""

    token_file: Path | None = None
    basic_auth_file: Path | None = None
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer, and when it was given by the clock of who gave it."""

    body: bytes
    at: datetime


def trust(authority: Path | None) -> ssl.SSLContext | None:
    """Return the TLS settings that trust this authority alone; None: those that the machine trusts."""
    if authority is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(authority))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{authority}: no PEM certificates can be read: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class Fetch:
    """Asks; raises MonitoringError with one of the reasons below.

    ``unreachable``, ``timeout``, ``redirected``, ``refused`` (4xx), ``unavailable`` (5xx), ``too_large``, ``encoded``,
    ``undated`` (no Date header) and ``credentials`` (a file cannot be read).
    """

    session: aiohttp.ClientSession
    access: Access
    total_s: float = TOTAL_S
    most_bytes: int = MOST_BYTES

    async def get(self, url: str) -> Answer:
        """Ask with GET."""
        return await self._ask("GET", url, None)

    async def post(self, url: str, form: dict[str, str]) -> Answer:
        """Ask with a POST of a form, for questions that are too long for an address."""
        return await self._ask("POST", url, form)

    @asynccontextmanager
    async def patience(self) -> AsyncIterator[None]:
        """Bound several questions as one is bounded; raises MonitoringError ``timeout``."""
        try:
            async with asyncio.timeout(self.total_s):
                yield
        except TimeoutError as error:
            raise MonitoringError("timeout", f"no answer within {self.total_s:g} s", retryable=True) from error

    async def _ask(self, method: str, url: str, form: dict[str, str] | None) -> Answer:
        place = urlsplit(url).netloc
        try:
            async with asyncio.timeout(self.total_s):
                return await self._answer(method, url, form)
        except TimeoutError as error:
            message = f"{place} did not answer within {self.total_s:g} s"
            raise MonitoringError("timeout", message, retryable=True) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The error's own words may hold the address with all that is in it.
            message = f"no connection to {place}: {type(error).__name__}"
            raise MonitoringError("unreachable", message, retryable=True) from error

    async def _answer(self, method: str, url: str, form: dict[str, str] | None) -> Answer:
        headers = await asyncio.to_thread(self._headers)
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S)
        async with self.session.request(
            method,
            url,
            data=form,
            headers=headers,
            ssl=self.access.tls or True,
            timeout=timeout,
            allow_redirects=False,
        ) as response:
            _check(response)
            body = bytearray()
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                body += chunk
                if len(body) > self.most_bytes:
                    message = f"the answer of {response.url.host} has more than {self.most_bytes} bytes"
                    raise MonitoringError("too_large", message)
            return Answer(body=bytes(body), at=_date(response))

    def _headers(self) -> dict[str, str]:
        headers = {
            "User-Agent": f"remediator/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        if self.access.token_file is not None:
            headers["Authorization"] = f"Bearer {_secret(self.access.token_file)}"
        elif self.access.basic_auth_file is not None:
            pair = _secret(self.access.basic_auth_file).encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return headers


def _check(response: aiohttp.ClientResponse) -> None:
    """Refuse everything but a plain 200."""
    status, host = response.status, response.url.host
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP's redirects
        raise MonitoringError("redirected", f"{host} answers {status}: give the address that it redirects to")
    if 400 <= status < 500:  # noqa: PLR2004 - HTTP's refusals
        raise MonitoringError("refused", f"{host} answers {status}: look at the address and the credentials")
    if status != _OK:
        raise MonitoringError("unavailable", f"{host} answers {status}", retryable=True)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise MonitoringError("encoded", f"{host} compresses its answer though it was asked not to")


def _date(response: aiohttp.ClientResponse) -> datetime:
    """Return the time of the answer by the other side's clock: what it tells of times is held against that."""
    given = response.headers.get("Date", "")
    try:
        return parsedate_to_datetime(given).astimezone(UTC)
    except (TypeError, ValueError) as error:
        message = f"{response.url.host} does not say what time it is (the header Date)"
        raise MonitoringError("undated", message) from error


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise MonitoringError("credentials", f"{path}: cannot be read") from error
