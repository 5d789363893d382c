"""A certificate is believed where the authority that was named has signed it, and nowhere else."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from remediator.adapters.alerting.fetch import Access, Fetch, trust
from remediator.model.errors import MonitoringError

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")


async def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that signs itself, and its key."""
    file, key = folder / f"{name}.crt", folder / f"{name}.key"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    words += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(file)]
    process = await asyncio.create_subprocess_exec("openssl", *words, stderr=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    return file, key


@asynccontextmanager
async def secured(files: tuple[Path, Path]) -> AsyncIterator[str]:
    """Serve over TLS."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="[]")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_only_the_named_authority_is_trusted(tmp_path: Path) -> None:
    """A stranger's certificate, or one that only the machine might trust, is no Alertmanager."""
    ours, foreign = await certificate(tmp_path, "ours"), await certificate(tmp_path, "foreign")
    async with secured(ours) as url, aiohttp.ClientSession() as session:
        answer = await Fetch(session, Access(tls=trust(ours[0]))).get(url)
        assert answer.body == b"[]"
        for authority in (foreign[0], None):
            with pytest.raises(MonitoringError) as caught:
                await Fetch(session, Access(tls=trust(authority))).get(url)
            assert caught.value.reason == "unreachable"
