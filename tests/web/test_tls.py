"""TLS and client certificates."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from remediator.model.errors import ConfigError
from remediator.web.door import DoorLimits
from remediator.web.tls import TlsFiles, server_context
from tests.intake.bodies import alert, body
from tests.web.site import HOOK, Setup, Site, ask, head, running

OPENSSL = shutil.which("openssl")
GOOD = body(alert())
REQUEST = head("POST", HOOK, {"Content-Length": str(len(GOOD))}) + GOOD

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="needs the openssl program")


def openssl(folder: Path, *words: str) -> None:
    """Run the program in a folder."""
    assert OPENSSL is not None
    subprocess.run([OPENSSL, *words], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority (ca), a server (localhost), a client that the authority signed, and one that it did not."""
    folder = tmp_path_factory.mktemp("pki")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    for name in ("ca", "stranger"):
        openssl(folder, "req", "-x509", *curve, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-days", "2"]
    for name in ("server", "client"):
        new = ["req", "-x509", *curve, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}"]
        openssl(folder, *new, *signed, "-addext", names)
    return folder


def client(pki: Path, name: str | None = None) -> ssl.SSLContext:
    """A client's context, with a certificate of that name."""
    context = ssl.create_default_context(cafile=pki / "ca.crt")
    if name:
        context.load_cert_chain(pki / f"{name}.crt", pki / f"{name}.key")
    return context


def files(pki: Path, *, client_ca: bool = False) -> TlsFiles:
    """The server's files."""
    return TlsFiles(pki / "server.crt", pki / "server.key", pki / "ca.crt" if client_ca else None)


async def test_posts_over_tls(pki: Path) -> None:
    """One request and the next on the same connection."""
    async with running(Setup(tls=files(pki))) as site:
        assert site.server.url.startswith("https://")
        assert (await ask(site, REQUEST, client(pki))).status == 200
        assert (await ask(site, REQUEST * 2, client(pki))).json["known"] == 1


async def test_a_client_certificate_is_required_for_webhooks_only(pki: Path) -> None:
    """403 without one, 200 with one; probes have none."""
    async with running(Setup(tls=files(pki, client_ca=True))) as site:
        assert (await ask(site, REQUEST, client(pki))).status == 403
        assert (await ask(site, REQUEST, client(pki, "client"))).status == 200
        assert (await ask(site, head("GET", "/livez"), client(pki))).status == 200
        assert site.notebook.outcomes("webhook") == ["certificate", "accepted"]
        assert site.notebook.outcomes("credentials") == []


async def test_a_strangers_certificate_is_refused(pki: Path) -> None:
    """The handshake fails; the server goes on."""
    async with running(Setup(tls=files(pki, client_ca=True))) as site:
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await ask(site, REQUEST, client(pki, "stranger"))
        await closed(site, 0)
        assert site.notebook.outcomes("connection") == ["handshake_failed"]
        assert (await ask(site, REQUEST, client(pki, "client"))).status == 200


async def test_plain_http_on_the_tls_port(pki: Path) -> None:
    """Is no handshake."""
    async with running(Setup(tls=files(pki))) as site:
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await ask(site, REQUEST)
        await closed(site, 0)


async def closed(site: Site, count: int) -> None:
    """Wait until that many connections are left."""
    async with asyncio.timeout(5):
        while site.server.connections > count:
            await asyncio.sleep(0.01)


async def test_sockets_that_never_shake_hands(pki: Path) -> None:
    """They count, make room when the house is full, and die in time."""
    limits = DoorLimits(max_connections=10, receive_s=0.4, sweep_s=0.02, prompt_s=0.0)
    async with running(Setup(tls=files(pki), door=limits)) as site:
        streams = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(30)]
        assert (await ask(site, REQUEST, client(pki))).status == 200
        assert site.server.connections <= 10
        begun = time.monotonic()
        await closed(site, 0)
        assert time.monotonic() - begun < 2
        for _, writer in streams:
            writer.close()


async def test_a_stop_during_a_handshake(pki: Path) -> None:
    """Does not hang."""
    async with asyncio.timeout(3):
        async with running(Setup(tls=files(pki), drain_s=1)) as site:
            _, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(b"\x16\x03\x01")
            while not site.server.connections:
                await asyncio.sleep(0.01)
        writer.close()
    assert site.server.connections == 0


def test_files_that_cannot_be_used(pki: Path, tmp_path: Path) -> None:
    """All faults at once, each with its flag."""
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("hello")
    with pytest.raises(ConfigError) as caught:
        server_context(TlsFiles(pki / "server.crt", tmp_path / "missing", nonsense))
    assert [problem.split()[0] for problem in caught.value.problems] == ["--tls-cert", "--tls-client-ca"]
    assert "No such file" in caught.value.problems[0]
    with pytest.raises(ConfigError, match="no usable pair"):
        server_context(TlsFiles(pki / "server.crt", pki / "client.key"))
    with pytest.raises(ConfigError, match="no usable pair"):
        server_context(TlsFiles(nonsense, nonsense))


def test_an_encrypted_key_is_refused(pki: Path) -> None:
    """Nobody is there to type its passphrase."""
    openssl(pki, "ec", "-in", "server.key", "-out", "locked.key", "-aes256", "-passout", "pass:x1y2z3")
    with pytest.raises(ConfigError, match="the key is encrypted"):
        server_context(TlsFiles(pki / "server.crt", pki / "locked.key"))


async def test_faulty_files_stop_the_start(pki: Path, tmp_path: Path) -> None:
    """TLS and credentials are told in one error, before anything listens."""
    setup = Setup(tls=TlsFiles(pki / "server.crt", tmp_path / "missing"), tokens=tmp_path / "gone")
    with pytest.raises(ConfigError) as caught:
        async with running(setup):
            raise AssertionError
    assert len(caught.value.problems) == 2
