"""TLS as a kubeconfig describes it: the server's name is checked, and a client certificate is shown."""

from __future__ import annotations

import asyncio
import base64
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from remediator.adapters.kubernetes.access import ClusterAccess
from remediator.adapters.kubernetes.client import KubeClient, Request
from remediator.adapters.kubernetes.errors import NotSentError

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")


async def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that signs itself, and its key."""
    certificate_file, key_file = folder / f"{name}.crt", folder / f"{name}.key"
    arguments = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    arguments += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:api.example.com"]
    arguments += ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    arguments += ["-keyout", str(key_file), "-out", str(certificate_file)]
    process = await asyncio.create_subprocess_exec("openssl", *arguments, stderr=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    return certificate_file, key_file


@asynccontextmanager
async def secured(server: tuple[Path, Path], clients: Path) -> AsyncIterator[str]:
    """Serve over TLS to those who show a certificate of ``clients``."""

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        shown = request.transport.get_extra_info("peercert")
        return web.json_response({"subject": dict(part[0] for part in shown["subject"])["commonName"]})

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(clients))
    context.load_cert_chain(*server)
    context.verify_mode = ssl.CERT_REQUIRED
    application = web.Application()
    application.router.add_get("/who", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def kubeconfig(folder: Path, url: str, authority: Path, client: tuple[Path, Path]) -> ClusterAccess:
    """Write a kubeconfig with the certificates inside it."""

    def inside(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    cluster = {"server": url, "certificate-authority-data": inside(authority)}
    user = {"client-certificate-data": inside(client[0]), "client-key-data": inside(client[1])}
    document = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(document))
    return ClusterAccess(kubeconfig=str(path))


async def test_both_sides_prove_who_they_are(tmp_path: Path) -> None:
    """The client certificate of the kubeconfig reaches the server, over the connections that we use."""
    server, client = await certificate(tmp_path, "server"), await certificate(tmp_path, "remediator")
    async with secured(server, client[0]) as url:
        opened = await KubeClient.connect(kubeconfig(tmp_path, url, server[0], client))
        body = await opened.get(Request(path="/who"))
        await opened.close()
    assert body == b'{"subject": "remediator"}'


async def test_a_server_that_nobody_vouches_for_gets_nothing(tmp_path: Path) -> None:
    """Another authority's certificate: the request never leaves."""
    server, client = await certificate(tmp_path, "server"), await certificate(tmp_path, "remediator")
    async with secured(server, client[0]) as url:
        opened = await KubeClient.connect(kubeconfig(tmp_path, url, client[0], client))
        with pytest.raises(NotSentError, match="certificate"):
            await opened.send(Request(path="/who"))
        await opened.close()
