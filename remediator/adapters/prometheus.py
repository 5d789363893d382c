"""Questions to Prometheus for the threshold table, by prometheus-api-client, kept on a short lead.

The client is synchronous, waits for ever unless told otherwise, tries again by itself, puts the query of a POST into
the address and throws away what the answer says of itself: its type and its warnings. So it gets a session of ours: one
try, times for the socket, no redirects, the query in the body, and a hook that reads the answer in full, bounded in
bytes and seconds, before the client does. All of that in a few threads of our own: what hangs holds one of them, and
nobody else.
"""

from __future__ import annotations

import asyncio
import base64
import io
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import requests
from msgspec import Struct
from prometheus_api_client.exceptions import PrometheusApiClientException
from prometheus_api_client.prometheus_connect import PrometheusConnect
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3 import Retry
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as Urllib3Timeout

from remediator import __version__, redaction
from remediator.model.measure import Answer, Sample, Unseen
from remediator.ports.measuring import Query

T = TypeVar("T")
THREADS = 8
"""More than rows usually are; each holds one connection."""
MOST_BYTES = 32 << 20
CHUNK_BYTES = 64 << 10
_NOTHING = b'{"data":{"result":[]}}'
"""What the client is left to read: the answer itself has been read."""
_STATUS = re.compile(r"HTTP Status Code (\d{3})")
_ERROR = re.compile(r'"error"\s*:\s*"((?:[^"\\]|\\.)*)"')
_OK, _FAILURES = 200, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Where Prometheus is and how to be let in; the files are read anew for each question. Times in seconds.

    ``total_s`` bounds an answer as a whole, and lies above what the socket may take for each of its parts.
    """

    url: str
    token_file: Path | None = None
    basic_auth_file: Path | None = None
    authority: Path | None = None
    connect_s: float = 2.0
    read_s: float = 4.0
    total_s: float = 5.0
    most_bytes: int = MOST_BYTES


class _Data(Struct):
    resultType: str  # noqa: N815 - Prometheus's own spelling
    result: msgspec.Raw


class _Envelope(Struct):
    status: str
    data: _Data | None = None
    warnings: list[Any] = msgspec.field(default_factory=list)


class _Series(Struct):
    metric: dict[str, str]
    value: tuple[float, str] | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_parts = msgspec.json.Decoder(list[msgspec.Raw])
_one = msgspec.json.Decoder(_Series)


class _CredentialsError(Exception):
    """A file with a secret cannot be read."""


class _TooLargeError(Exception):
    """The answer has more bytes than it may."""


_EXPECTED = (
    *(_CredentialsError, _TooLargeError, PrometheusApiClientException, requests.RequestException, HTTPError, OSError),
    *(ValueError, KeyError, RecursionError),
)


class _FromFile(AuthBase):
    """Reads the secret for each request, so that it can be exchanged."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._reach.token_file is not None:
            request.headers["Authorization"] = f"Bearer {_secret(self._reach.token_file)}"
        elif self._reach.basic_auth_file is not None:
            pair = _secret(self._reach.basic_auth_file).encode()
            request.headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return request


class _FormAdapter(HTTPAdapter):
    """Sends the query in the body, where no proxy's limit for addresses cuts it off."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        address, _, query = (request.url or "").partition("?")
        if request.method == "POST" and query:
            request.url = address
            request.headers["Content-Type"] = "application/x-www-form-urlencoded"
            request.prepare_body(query, None)
        return super().send(request, *args, **kwargs)


@dataclass(slots=True)
class _Heard(threading.local):
    """What the thread's present question has been answered, and until when it may be."""

    body: bytes = b""
    until: float = 0.0


@dataclass(slots=True)
class ThreadedPrometheus:
    """Implements ports.measuring.Prometheus; ``close`` it."""

    reach: Reach
    _heard: _Heard = field(default_factory=_Heard, init=False)
    _pool: ThreadPoolExecutor = field(init=False)
    _client: Any = field(init=False)
    _session: requests.Session = field(init=False)

    def __post_init__(self) -> None:
        """Set up the session; nothing is asked yet."""
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="prometheus")
        session = self._session = requests.Session()
        session.trust_env = False
        session.max_redirects = 0
        session.verify = str(self.reach.authority) if self.reach.authority else True
        if self.reach.token_file is not None or self.reach.basic_auth_file is not None:
            # Else those of the address are taken, if it has any.
            session.auth = _FromFile(self.reach)
        session.headers.update({"User-Agent": f"remediator/{__version__}", "Accept-Encoding": "identity"})
        session.hooks["response"].append(self._read)
        url = self.reach.url.rstrip("/")
        once, times = Retry(0), _times(self.reach)
        self._client = PrometheusConnect(url, session=session, retry=once, timeout=times, method="POST")
        # The client has put an adapter of its own there, with ten connections and none of ours.
        session.mount(url, _FormAdapter(pool_connections=1, pool_maxsize=THREADS, max_retries=once))

    def close(self) -> None:
        """Let go; what still hangs ends by the socket's own times."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    async def ask(self, query: Query, work: Callable[[Answer], T]) -> T:
        """Ask in a thread, and work on the answer there."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.reach.total_s + 0.5):
                return await loop.run_in_executor(self._pool, lambda: work(self._ask(query)))
        except TimeoutError:
            return work(self._late())

    def _ask(self, query: Query) -> Answer:
        """Ask; in a thread."""
        self._heard.until = monotonic() + self.reach.total_s
        answer = self._one(query.expr, query)
        if answer.problem is not None or not query.dated or not answer.samples:
            return answer
        times = self._one(f"timestamp({query.expr})", query)
        if times.problem is not None:
            return times
        dates = {_key(sample): sample.value for sample in times.samples}
        dated = tuple(msgspec.structs.replace(one, at=dates.get(_key(one)) or one.at) for one in answer.samples)
        return msgspec.structs.replace(answer, samples=dated)

    def _one(self, expr: str, query: Query) -> Answer:
        self._heard.body = b""
        moment = f"{query.at.timestamp():.3f}"
        left_s = max(1, round(self.reach.read_s))
        try:
            self._client.custom_query(expr, params={"time": moment, "timeout": f"{left_s}s"})
            return _answer(self._heard.body)
        except _EXPECTED as error:
            problem, words = _problem(error)
            place = urlsplit(self.reach.url).netloc.rpartition("@")[2]
            return Answer(problem=problem, detail=f"{place}: {words}")
        finally:
            self._heard.body = b""

    def _late(self) -> Answer:
        return Answer(problem=Unseen.TIMEOUT, detail=f"no answer within {self.reach.total_s:g} s")

    def _read(self, response: requests.Response, **_: object) -> requests.Response:
        """Read the answer: called by the session when its head is there, before anybody reads the rest."""
        body = bytearray()
        while chunk := response.raw.read1(CHUNK_BYTES):
            body += chunk
            if len(body) > self.reach.most_bytes:
                response.close()
                raise _TooLargeError
            if monotonic() > self._heard.until:
                response.close()
                raise requests.Timeout
        self._heard.body = bytes(body)
        response.raw.release_conn()
        response.raw = io.BytesIO(_NOTHING if response.status_code == _OK else bytes(body[:500]))
        return response


def _times(reach: Reach) -> Any:
    """Return the socket's times; the client hands on whatever its session takes, and says that it is a number."""
    return reach.connect_s, reach.read_s


def _answer(body: bytes) -> Answer:
    """Read an answer. Its series are read one by one, so that other threads can work in between."""
    said = _envelope.decode(body)
    if said.status != "success" or said.data is None:
        return Answer(problem=Unseen.MALFORMED, detail="the answer is no success and no error")
    if said.warnings:
        return Answer(problem=Unseen.PARTIAL, detail=f"a part is missing: {_told(str(said.warnings[0]))}")
    if said.data.resultType != "vector":
        return Answer(problem=Unseen.WRONG_TYPE, detail=f"the expression gives a {said.data.resultType[:20]}")
    return Answer(samples=tuple(_sample(_one.decode(part)) for part in _parts.decode(said.data.result)))


def _sample(series: _Series) -> Sample:
    if series.value is None:
        return Sample(labels=series.metric, value=None)
    at, value = series.value
    return Sample(labels=series.metric, value=float(value), at=at)


def _key(sample: Sample) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in sample.labels.items() if name != "__name__"))


def _problem(error: Exception) -> tuple[Unseen, str]:
    """Return what an error means. Its own words may hold the address with all that is in it."""
    match error:
        case _CredentialsError():
            return Unseen.CREDENTIALS, str(error)
        case _TooLargeError():
            return Unseen.TOO_LARGE, "the answer is too large; let the expression give fewer series"
        case PrometheusApiClientException():
            found = _STATUS.search(str(error))
            status = int(found.group(1)) if found else _FAILURES
            problem = Unseen.REFUSED if status < _FAILURES else Unseen.UNAVAILABLE
            return problem, f"answers {status}: {_said(str(error))}"
        case requests.TooManyRedirects():
            return Unseen.REFUSED, "redirects; give the address that it redirects to"
        case requests.Timeout() | TimeoutError() | Urllib3Timeout():
            return Unseen.TIMEOUT, "did not answer in time"
        case requests.JSONDecodeError() | msgspec.MsgspecError():
            return Unseen.MALFORMED, "its answer cannot be read"
        case requests.RequestException() | HTTPError() | OSError():
            return Unseen.UNREACHABLE, type(error).__name__
        case _:
            return Unseen.MALFORMED, f"its answer cannot be read ({type(error).__name__})"


def _said(error: str) -> str:
    """Return Prometheus's own words about an error, where it has any."""
    found = _ERROR.search(error)
    return _told(found.group(1)) if found else "no reason given"


def _told(words: str) -> str:
    """Return foreign words as they may be kept: a proxy's error may hold an address with all that is in it."""
    return redaction.text(words[:2000])[:200]


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _CredentialsError(f"{path}: cannot be read") from error
