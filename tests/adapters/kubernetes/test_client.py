"""The client: one request is one request, every call is bounded, and unanswered is told from unsent."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import aiohttp
import pytest
import yaml
from aiohttp import web

from remediator.adapters.kubernetes.access import ClusterAccess, environment_proxy, find_access, load_credentials
from remediator.adapters.kubernetes.client import ClientLimits, KubeClient, Request
from remediator.adapters.kubernetes.errors import NoAnswerError, NotSentError
from remediator.adapters.kubernetes.shapes import Workload
from remediator.model.errors import ClusterError, ConfigError
from tests.adapters.kubernetes.given import PATH, Canned, cluster, connected, deployment, refusal, serving

GET = Request(path=PATH)


async def test_a_read_is_decoded_into_its_shape() -> None:
    """Only what is looked at is decoded; nulls and absent fields have defaults."""
    async with cluster({PATH: deployment()}) as (canned, client):
        workload = await client.read(PATH, Workload)
    assert (workload.metadata.name, workload.spec.replicas) == ("backstage", 3)
    headers = canned.requests[0].headers
    assert headers["User-Agent"].startswith("remediator/")
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("status", "reason", "retryable"),
    [
        (400, "invalid", False),
        (401, "unauthorized", True),
        (403, "forbidden", False),
        (404, "not_found", False),
        (409, "conflict", True),
        (410, "expired", True),
        (429, "throttled", True),
        (500, "unavailable", True),
        (503, "unavailable", True),
        (302, "unexpected", False),
        (418, "unexpected", False),
    ],
)
async def test_a_refused_read_has_a_closed_reason(status: int, reason: str, retryable: bool) -> None:
    """The status decides; the message names the request and what the server said."""
    async with cluster({PATH: refusal(status, "Because", "of this", retryAfterSeconds=4)}) as (_, client):
        with pytest.raises(ClusterError) as caught:
            await client.get(GET)
    error = caught.value
    assert (error.reason, error.retryable, error.retry_after) == (reason, retryable, 4.0)
    assert error.message == f"GET {PATH} answered {status}: Because: of this"


async def test_a_refusal_in_plain_text_is_understood() -> None:
    """Priority and fairness, aggregated APIs and proxies answer in text; Retry-After counts from the header."""
    text = web.Response(status=429, text="Too many requests, please try again later.", headers={"Retry-After": "1"})
    async with cluster({PATH: text}) as (_, client):
        with pytest.raises(ClusterError, match="Too many requests") as caught:
            await client.get(GET)
    assert (caught.value.reason, caught.value.retry_after) == ("throttled", 1.0)


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"metadata": 3}', '{"kind": "Deployment"}'])
async def test_an_answer_of_the_wrong_shape_is_malformed(body: str) -> None:
    """A 200 that is no Deployment is an error with the request's name, not a crash somewhere else."""
    async with cluster({PATH: web.Response(text=body)}) as (_, client):
        with pytest.raises(ClusterError, match="cannot be read") as caught:
            await client.read(PATH, Workload)
    assert (caught.value.reason, caught.value.retryable) == ("malformed", False)


async def test_redirects_are_not_followed() -> None:
    """A write that is redirected would be sent a second time, with its token, to somebody else."""
    async with cluster({PATH: web.Response(status=307, headers={"Location": "/elsewhere"})}) as (canned, client):
        answer = await client.send(Request(method="PATCH", path=PATH, body=b"{}", content_type="application/json"))
    assert (answer.status, canned.paths) == (307, [PATH])


async def test_no_connection_means_not_sent(unused_tcp_port: int) -> None:
    """Connection refused: nothing has happened anywhere."""
    async with connected(f"http://127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(NotSentError) as caught:
            await client.send(GET)
    assert (caught.value.reason, caught.value.retryable) == ("unreachable", True)


async def test_a_server_that_accepts_nobody_means_not_sent_in_time() -> None:
    """A full accept queue ends at the connect timeout, and nothing left."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        host, port = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex((host, port))
        async with connected(f"http://{host}:{port}", connect_s=0.2) as client:
            with pytest.raises(NotSentError):
                await client.send(GET)
        for filler in fillers:
            filler.close()


async def silent(request: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    return web.Response()


async def test_silence_ends_at_the_timeout_with_no_answer() -> None:
    """A server that hangs holds a worker for the timeout at most, and may have done what was asked."""
    async with cluster({PATH: silent}, total_s=0.2) as (_, client):
        with pytest.raises(NoAnswerError) as caught:
            await client.send(GET)
    assert (caught.value.reason, caught.value.retryable) == ("timeout", True)


async def test_a_closed_connection_is_no_answer_and_is_not_tried_again() -> None:
    """A PATCH whose connection closes is sent once: the library must not send it again by itself."""
    seen: list[bytes] = []

    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(slam, "127.0.0.1", 0)
    async with server, connected(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        with pytest.raises(NoAnswerError):
            await client.send(Request(method="PATCH", path=PATH, body=b"{}", content_type="application/json"))
    assert len(seen) == 1


async def test_a_broken_off_answer_keeps_its_status() -> None:
    """The status line is true even if the body never ends: a read fails, and a write knows that it was stored."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    async with server, connected(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        answer = await client.send(GET)
        with pytest.raises(ClusterError, match="broke off") as caught:
            await client.get(GET)
    assert (answer.status, answer.body) == (200, b"{")
    assert answer.fault
    assert (caught.value.reason, caught.value.retryable) == ("unreachable", True)


async def test_a_body_that_never_ends_keeps_its_status_too() -> None:
    """The timeout holds for the whole answer."""

    async def stalled(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{")
        await asyncio.Event().wait()
        return response

    async with cluster({PATH: stalled}, total_s=0.3) as (_, client):
        answer = await client.send(GET)
    assert (answer.status, answer.fault) == (200, "the answer did not end within 0.3 s")


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False), (50_000, False)])
async def test_an_answer_is_no_larger_than_the_limit(size: int, fits: bool) -> None:
    """Bodies are bounded while they are read."""
    async with cluster({PATH: web.Response(body=b"x" * size)}, max_bytes=1000) as (_, client):
        answer = await client.send(GET)
        kept = await client.send(Request(path=PATH, keep=10))
    assert (answer.fault == "") is fits
    assert (kept.body, kept.fault) == (b"x" * 10, "")


async def test_calls_at_once_are_bounded() -> None:
    """More calls than connections wait their turn, and give up unsent when it does not come."""
    async with cluster({PATH: silent, "/ok": {}}, concurrency=1, total_s=0.3) as (canned, client):

        async def call(path: str) -> str:
            try:
                await client.send(Request(path=path))
            except ClusterError as error:
                return type(error).__name__
            return "answered"

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call(PATH)), group.create_task(call(PATH))]
        outcomes = [task.result() for task in tasks]
        assert await call("/ok") == "answered"
    assert outcomes[0] == "NoAnswerError"
    assert len(canned.requests) <= 3


async def test_waiting_for_a_turn_is_not_waiting_for_a_connection() -> None:
    """In a burst a call may wait for longer than a connection may take: it is not mistaken for a dead server."""

    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return web.json_response({})

    async with (
        cluster({PATH: slow}, concurrency=1, connect_s=0.2, total_s=5.0) as (_, client),
        asyncio.TaskGroup() as group,
    ):
        tasks = [group.create_task(client.get(GET)) for _ in range(3)]
    assert [task.result() for task in tasks] == [b"{}"] * 3


async def test_connections_are_used_again() -> None:
    """Twenty reads take one connection."""
    peers: set[object] = set()

    async def note(request: web.Request) -> web.StreamResponse:
        peers.add(request.transport and request.transport.get_extra_info("peername"))
        return web.json_response({})

    async with cluster({PATH: note}) as (_, client):
        for _ in range(20):
            await client.get(GET)
    assert len(peers) == 1


def kubeconfig(path: Path, url: str, user: dict[str, object]) -> ClusterAccess:
    """Write a kubeconfig with two contexts and return the way in by it."""
    cluster_of = [
        {"name": "c", "cluster": {"server": url}},
        {"name": "none", "cluster": {"insecure-skip-tls-verify": True}},
    ]
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": cluster_of,
        "users": [{"name": "u", "user": user}],
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u"}},
            {"name": "serverless", "context": {"cluster": "none", "user": "u"}},
        ],
    }
    path.write_text(yaml.safe_dump(document))
    return ClusterAccess(kubeconfig=str(path))


def guarded(canned: Canned, token: str) -> None:
    """Let only that token in."""

    async def check(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {token}":
            return refusal(401, "Unauthorized")
        return web.json_response(deployment())

    canned.answers[PATH] = check


async def test_a_rotated_token_is_picked_up_by_the_next_read(tmp_path: Path) -> None:
    """A 401 makes the token file be read again, once; the trailing newline that editors leave does no harm."""
    token_file = tmp_path / "token"
    token_file.write_text("old\n")
    async with serving() as canned:
        guarded(canned, "new")
        client = await KubeClient.connect(kubeconfig(tmp_path / "config", canned.url, {"tokenFile": str(token_file)}))
        with pytest.raises(ClusterError, match="401"):
            await client.get(GET)
        asked = len(canned.requests)
        token_file.write_text("new\n")
        assert await client.get(GET)
        await client.close()
    assert (asked, len(canned.requests)) == (1, 3)


async def test_a_url_takes_a_token_file(tmp_path: Path) -> None:
    """An address given outright may have a token of its own."""
    token_file = tmp_path / "token"
    token_file.write_text("mine")
    async with serving() as canned:
        guarded(canned, "mine")
        client = await KubeClient.connect(ClusterAccess(url=canned.url, token_file=token_file))
        assert await client.get(GET)
        token_file.unlink()
        guarded(canned, "other")
        with pytest.raises(ClusterError, match="401"):
            await client.get(GET)
        await client.close()


async def test_credentials_that_cannot_be_renewed_send_nothing() -> None:
    """A hook of the library that fails is an error with a reason, before anything left."""

    def fail(configuration: object) -> None:
        raise OSError("no such program")

    async with serving({PATH: deployment()}) as canned:
        credentials = await load_credentials(ClusterAccess(url=canned.url))
        credentials.configuration.refresh_api_key_hook = fail
        client = KubeClient(credentials, ClientLimits())
        with pytest.raises(NotSentError) as caught:
            await client.send(GET)
        await client.close()
    assert caught.value.reason == "credentials"
    assert not canned.requests


@pytest.mark.parametrize(
    ("access", "words"),
    [
        (ClusterAccess(kubeconfig="/nowhere/config"), "no such file"),
        (ClusterAccess(url="ftp://example.com"), "is not a URL"),
        (ClusterAccess(url="http://127.0.0.1", token_file=Path("/nowhere")), "/nowhere"),
        (ClusterAccess(url="http://127.0.0.1", ca_file=Path("/nowhere")), "/nowhere"),
        (ClusterAccess(in_cluster=True), "service account"),
    ],
)
async def test_access_that_cannot_be_used_is_refused_at_once(access: ClusterAccess, words: str) -> None:
    """One error that names the place; nothing falls back to http://localhost."""
    with pytest.raises(ConfigError, match=words):
        await KubeClient.connect(access)


@pytest.mark.parametrize(
    "content", ["", "a: [", "[]", "apiVersion: v1", "current-context: x\ncontexts: []\nclusters: []"]
)
async def test_a_broken_kubeconfig_is_named(tmp_path: Path, content: str) -> None:
    """Whatever is wrong with it, the message says which file."""
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(ConfigError, match=str(path)):
        await KubeClient.connect(ClusterAccess(kubeconfig=str(path)))


async def test_a_kubeconfig_without_a_server_does_not_lead_to_localhost(tmp_path: Path) -> None:
    """The library would talk to http://localhost; here it is a fault of the file."""
    access = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", {})
    with pytest.raises(ConfigError, match="is not a URL"):
        await KubeClient.connect(ClusterAccess(kubeconfig=access.kubeconfig, context="serverless"))
    with pytest.raises(ConfigError, match="nosuch"):
        await KubeClient.connect(ClusterAccess(kubeconfig=access.kubeconfig, context="nosuch"))


async def test_a_token_file_must_hold_one_token(tmp_path: Path) -> None:
    """Two words in it are a mistake, not a header."""
    token_file = tmp_path / "token"
    token_file.write_text("two words")
    with pytest.raises(ConfigError, match="one token"):
        await KubeClient.connect(ClusterAccess(url="http://127.0.0.1:1", token_file=token_file))


def test_the_way_in_is_found_as_people_expect(tmp_path: Path) -> None:
    """$KUBECONFIG first, then the pod's own account, then the home directory; else it is said what to do."""
    with pytest.raises(ConfigError, match="KUBECONFIG"):
        find_access({}, tmp_path)
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").touch()
    assert find_access({}, tmp_path).kubeconfig == str(tmp_path / ".kube" / "config")
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert find_access(pod, tmp_path) == ClusterAccess(in_cluster=True)
    assert find_access({**pod, "KUBECONFIG": f"a{os.pathsep}b"}, tmp_path).kubeconfig == f"a{os.pathsep}b"


def test_the_environments_proxy_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy of the environment is used, except for hosts that it excludes."""
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert environment_proxy("https://api.example.com:6443") == "http://proxy:3128"
    assert environment_proxy("https://127.0.0.1:6443") == ""
    assert environment_proxy("") == ""


async def test_a_proxy_that_refuses_means_not_sent(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    """Nothing reached the API server when the proxy could not be reached."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_tcp_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    async with connected("http://api.example.com") as client:
        with pytest.raises(NotSentError):
            await client.send(GET)


async def test_netrc_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .netrc for the host neither adds credentials nor collides with the token, as it would in the library."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with cluster({PATH: deployment()}) as (canned, client):
        await client.get(GET)
    assert "Authorization" not in canned.requests[0].headers
    assert aiohttp.hdrs.COOKIE not in canned.requests[0].headers
