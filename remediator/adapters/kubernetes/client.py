"""One HTTP client to the API server, on kubernetes-asyncio's configuration, credentials and connections.

Answers are taken raw: the library's models block the loop for a second on a large list, and make a write that
succeeded raise when its answer does not please them. Calls go through a session of our own on the library's connector,
because its own follows redirects (and would send a write again), asks the environment for a proxy and reads .netrc in
two threads on each call, and has no timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from remediator import __version__
from remediator.adapters.kubernetes.access import ClusterAccess, Credentials, environment_proxy, load_credentials
from remediator.adapters.kubernetes.errors import NoAnswerError, NotSentError, Refusal, read_refusal, to_error
from remediator.model.errors import ClusterError

USER_AGENT = f"remediator/{__version__}"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_UNAUTHORIZED = 401

Query = Mapping[str, str]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """Bounds of every call: seconds to connect (waiting for a connection included) and in all, calls at once, bytes."""

    connect_s: float = 3.0
    total_s: float = 15.0
    concurrency: int = 32
    max_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. ``path`` is already quoted; ``keep`` bytes of the answer are taken (0: the client's limit)."""

    path: str
    method: str = "GET"
    query: Query = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = ""
    user_agent: str = USER_AGENT
    keep: int = 0

    def __str__(self) -> str:
        """Return method and path, for messages."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. ``fault`` says why the body is not whole; the status is true in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    fault: str = ""

    @property
    def ok(self) -> bool:
        """Tell whether the status is 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004 - HTTP's own numbers

    def refusal(self) -> Refusal:
        """Read the body as a refusal."""
        return read_refusal(self.status, self.headers, self.body)


class KubeClient:
    """The client. Make it with ``connect``, close it at the end; one serves the whole process."""

    def __init__(self, credentials: Credentials, limits: ClientLimits) -> None:
        """Take loaded credentials; must be called inside the running loop."""
        # The package costs 0.4 s at its first import: only a process that talks to a cluster pays.
        from kubernetes_asyncio.client import ApiClient

        configuration = credentials.configuration
        configuration.connection_pool_maxsize = limits.concurrency
        self._api = ApiClient(configuration)
        self._credentials = credentials
        self._limits = limits
        self._base = str(configuration.host).rstrip("/")
        self._extra: dict[str, Any] = {}
        proxy = configuration.proxy or environment_proxy(self._base)
        if proxy:
            self._extra |= {"proxy": proxy, "proxy_headers": configuration.proxy_headers}
        if configuration.tls_server_name:
            self._extra["server_hostname"] = configuration.tls_server_name
        self._session = aiohttp.ClientSession(
            connector=self._api.rest_client.pool_manager.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=limits.total_s, connect=limits.connect_s),
            # Nothing is unpacked here, so nothing can blow up here.
            headers={"Accept": "application/json, */*", "Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=False,
        )
        self._slots = asyncio.Semaphore(limits.concurrency)

    @classmethod
    async def connect(cls, access: ClusterAccess, limits: ClientLimits | None = None) -> KubeClient:
        """Load the credentials and return a client; nothing is sent yet. ConfigError says what cannot be used."""
        return cls(await load_credentials(access), limits or ClientLimits())

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()
        await self._api.close()

    async def get(self, request: Request) -> bytes:
        """Read, and return the body of a 2xx answer. ClusterError for anything else.

        After a 401 the credentials are loaded again and the read is tried once more: tokens get rotated.
        """
        answer = await self.send(request)
        if answer.status == _UNAUTHORIZED and await self._credentials.reload():
            answer = await self.send(request)
        if not answer.ok:
            raise to_error(str(request), answer.refusal())
        if answer.fault:
            raise ClusterError("unreachable", f"{request}: {answer.fault}", retryable=True)
        return answer.body

    async def read(self, path: str, shape: type[T], query: Query | None = None) -> T:
        """Read an object and decode it to ``shape``. ClusterError ``malformed`` where it does not fit."""
        found, _ = await self.read_whole(path, shape, query)
        return found

    async def read_whole(self, path: str, shape: type[T], query: Query | None = None) -> tuple[T, bytes]:
        """As ``read``, with the answer itself, for what ``shape`` leaves out."""
        request = Request(path=path, query=query or {})
        body = await self.get(request)
        try:
            return msgspec.json.decode(body, type=shape), body
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ClusterError("malformed", f"{request} answered something that cannot be read: {error}") from error

    async def send(self, request: Request) -> Answer:
        """Send a request exactly once and return whatever was answered.

        Raises NotSentError where it never left, NoAnswerError where it may have. Redirects are answers like others.
        """
        headers = await self._headers(request)
        try:
            async with asyncio.timeout(self._limits.total_s):
                await self._slots.acquire()
        except TimeoutError as error:
            busy = f"{request}: all {self._limits.concurrency} connections were busy for {self._limits.total_s:g} s"
            raise NotSentError("unreachable", busy, retryable=True) from error
        try:
            return await self._exchange(request, headers)
        finally:
            self._slots.release()

    async def _headers(self, request: Request) -> dict[str, str]:
        headers = {"User-Agent": request.user_agent}
        if request.content_type:
            headers["Content-Type"] = request.content_type
        token = await self._credentials.authorization()
        if token:
            headers["Authorization"] = token
        return headers

    async def _exchange(self, request: Request, headers: dict[str, str]) -> Answer:
        query = f"?{urlencode(request.query)}" if request.query else ""
        # Encoded already: left to itself the URL would be normalised, and ../ taken out of it or %2F put in.
        url = URL(f"{self._base}{request.path}{query}", encoded=True)
        try:
            async with self._session.request(
                request.method, url, data=request.body, headers=headers, allow_redirects=False, **self._extra
            ) as response:
                body, fault = await self._body(response, request.keep)
                return Answer(status=response.status, headers=response.headers, body=body, fault=fault)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as error:
            raise NotSentError("unreachable", f"{request}: no connection: {_brief(error)}", retryable=True) from error
        except TimeoutError as error:
            late = f"{request}: no answer within {self._limits.total_s:g} s"
            raise NoAnswerError("timeout", late, retryable=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswerError("unreachable", f"{request}: {_brief(error)}", retryable=True) from error

    async def _body(self, response: aiohttp.ClientResponse, keep: int) -> tuple[bytes, str]:
        limit = keep or self._limits.max_bytes
        taken = bytearray()
        try:
            async for chunk in response.content.iter_any():
                taken += chunk
                if len(taken) >= limit:
                    break
        except TimeoutError:
            return bytes(taken), f"the answer did not end within {self._limits.total_s:g} s"
        except (aiohttp.ClientError, OSError) as error:
            return bytes(taken), f"the answer broke off: {_brief(error)}"
        if len(taken) > limit or (len(taken) == limit and not response.content.at_eof()):
            response.close()
            return (bytes(taken[:limit]), "") if keep else (b"", f"the answer is larger than {limit} bytes")
        return bytes(taken), ""


def _brief(error: BaseException) -> str:
    # str() of aiohttp's errors names hosts and reasons, never headers; some have no text at all.
    return f"{type(error).__name__}: {error}"[:200]
