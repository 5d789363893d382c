"""The real daemon's front door: TLS with client certificates, basic authentication, and tokens that are rotated."""

from __future__ import annotations

import asyncio
import base64
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from remediator.adapters.clock import SystemClock
from remediator.model.entry import EntryKind
from tests.acceptance.daemon import HOOK, TOKEN
from tests.acceptance.scene import Scene, body

OPENSSL = shutil.which("openssl")
CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


async def _post(scene: Scene, url: str, authorization: str, tls: ssl.SSLContext | bool = True) -> int:
    """Post one alert and return the status."""
    document = body([{"alertname": "Unknown"}], SystemClock().now())
    headers = {"Authorization": authorization} if authorization else {}
    async with scene.http.post(url + HOOK, json=document, headers=headers, ssl=tls) as answer:
        await answer.read()
        return answer.status


async def test_tokens_are_rotated_without_a_restart(scene: Scene) -> None:
    """Two are valid at once: the new one is added, the senders change over, the old one goes."""
    daemon = scene.daemon()
    await daemon.start()
    file = scene.folder / "daemon" / "webhook-token"
    fresh = "another-token-0123456789abcdef"
    assert await _post(scene, daemon.url, f"Bearer {TOKEN}") == 200
    assert await _post(scene, daemon.url, f"Bearer {fresh}") == 401
    assert await _post(scene, daemon.url, "") == 401
    file.write_text(f"{TOKEN}\n{fresh}\n", encoding="utf-8")
    await scene.until("the new token is taken", lambda: _answers(scene, daemon.url, fresh, 200))
    assert await _post(scene, daemon.url, f"Bearer {TOKEN}") == 200
    file.write_text(f"{fresh}\n", encoding="utf-8")
    await scene.until("the old token is refused", lambda: _answers(scene, daemon.url, TOKEN, 401))
    said = daemon.log.read_text(encoding="utf-8")
    assert TOKEN not in said
    assert fresh not in said


async def _answers(scene: Scene, url: str, token: str, status: int) -> bool:
    return await _post(scene, url, f"Bearer {token}") == status


async def test_basic_authentication(scene: Scene) -> None:
    """User and password from a file; a wrong one is refused."""
    file = scene.folder / "users"
    file.write_text("alertmanager:correct-horse-battery\n", encoding="utf-8")
    file.chmod(0o600)
    daemon = scene.daemon("--webhook-basic-auth-file", str(file))
    await daemon.start()
    for password, status in (("correct-horse-battery", 200), ("wrong-horse-battery", 401)):
        words = base64.b64encode(f"alertmanager:{password}".encode()).decode()
        assert await _post(scene, daemon.url, f"Basic {words}") == status


@pytest.mark.skipif(OPENSSL is None, reason="needs the openssl program")
async def test_tls_with_client_certificates(scene: Scene) -> None:
    """HTTPS with our certificate; who posts needs one of our authority and the token, who asks for health neither."""
    folder = scene.folder / "pki"
    await asyncio.to_thread(_make_certificates, folder)
    daemon = scene.daemon(
        *("--tls-cert", str(folder / "server.crt"), "--tls-key", str(folder / "server.key")),
        *("--tls-client-ca", str(folder / "ca.crt")),
    )
    await daemon.start()
    url = daemon.url.replace("http:", "https:")
    stranger = ssl.create_default_context(cafile=folder / "ca.crt")
    known = ssl.create_default_context(cafile=folder / "ca.crt")
    known.load_cert_chain(folder / "client.crt", folder / "client.key")
    assert await _post(scene, url, f"Bearer {TOKEN}", known) == 200
    assert await _post(scene, url, "Bearer wrong", known) == 401
    assert await _post(scene, url, f"Bearer {TOKEN}", stranger) == 403
    async with scene.http.get(f"{url}/readyz", ssl=stranger) as answer:
        assert answer.status == 200
    await scene.until_kind(EntryKind.SIGNAL_UNMATCHED)


def _make_certificates(folder: Path) -> None:
    """Make an authority, a server and a client."""
    folder.mkdir()
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"]
    for name, more in (("ca", []), ("server", signed), ("client", signed)):
        words = [*CURVE, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}", *more]
        assert OPENSSL is not None
        subprocess.run([OPENSSL, "req", "-x509", *words], cwd=folder, check=True, capture_output=True, timeout=60)
