"""A real Alertmanager, configured as docs/how-to/connect-alertmanager.md says, delivers to a listening webhook."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from remediator.adapters.clock import SystemClock
from remediator.intake.fingerprint import fingerprint
from remediator.model.errors import LedgerError
from remediator.model.signal import Status
from tests.fakes.clock import StillClock
from tests.web.site import Setup, Site, running

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
GUIDE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "connect-alertmanager.md"
TOKEN = "0123456789abcdef0123456789abcdef"

pytestmark = [
    pytest.mark.alertmanager,
    pytest.mark.skipif(PROGRAM is None, reason="needs alertmanager (Debian: prometheus-alertmanager)"),
]


def configuration(site: Site, token: Path) -> str:
    """The guide's configuration, with this machine's address and token, and quicker."""
    block: str = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[0]
    changes = {
        "http://remediator.example:9095": f"http://127.0.0.1:{site.port}",
        "/etc/alertmanager/remediator-token": str(token),
        "group_wait: 10s": "group_wait: 50ms",
        "group_interval: 1m": "group_interval: 1s",
    }
    for old, new in changes.items():
        assert old in block
        block = block.replace(old, new)
    return block


@asynccontextmanager
async def alertmanager(site: Site, token: Path) -> AsyncIterator[str]:
    """Run the program until the block ends; yield its URL."""
    assert PROGRAM is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "am.yml"
        config.write_text(configuration(site, token))
        words = [f"--config.file={config}", f"--storage.path={folder}", "--cluster.listen-address="]
        with (Path(folder) / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                PROGRAM, *words, f"--web.listen-address=127.0.0.1:{port}", stdout=log, stderr=log
            )
        try:
            url = f"http://127.0.0.1:{port}"
            await ready(url)
            yield url
        finally:
            process.terminate()
            await process.wait()


async def ready(url: str) -> None:
    """Wait until the program answers, twenty seconds at most."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/-/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)


async def fire(url: str, *alerts: dict[str, object]) -> None:
    """Put alerts into Alertmanager."""
    async with aiohttp.ClientSession() as session, session.post(f"{url}/api/v2/alerts", json=list(alerts)) as answer:
        assert answer.status == 200, await answer.text()


async def arrived(site: Site, count: int) -> None:
    """Wait until so many facts are in the inbox, thirty seconds at most."""
    async with asyncio.timeout(30):
        while len(site.inbox.facts) < count:
            await asyncio.sleep(0.05)


async def test_alerts_of_a_real_alertmanager_arrive(tmp_path: Path) -> None:
    """Through the guide's configuration, over a 503, firing and resolved, with the fingerprints it shows itself."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"eu:{TOKEN}\n")
    sent = tmp_path / "sent"
    sent.write_text(TOKEN)
    odd = {"alertname": "A", "namespace": "b", "path": 'C:\\x"y":\n\t:', "word": "日本 🎉 <&>"}
    async with running(Setup(tokens=tokens, clock=StillClock(SystemClock().now()))) as site:
        site.inbox.refuse_with = LedgerError("unavailable", "not yet")
        async with alertmanager(site, sent) as url:
            await fire(url, {"labels": odd, "annotations": {"summary": '"quoted": \\ text'}})
            async with asyncio.timeout(30):
                while site.notebook.outcomes("webhook").count("store") < 2:
                    await asyncio.sleep(0.05)
            site.inbox.refuse_with = None
            await arrived(site, 1)
            await fire(url, {"labels": odd, "endsAt": SystemClock().now().isoformat()})
            await arrived(site, 2)
    firing, resolved = site.inbox.facts.values()
    assert firing.labels == resolved.labels == odd
    assert firing.annotations == {"summary": '"quoted": \\ text'}
    assert firing.fingerprint == resolved.fingerprint == fingerprint(odd)
    assert (firing.source, firing.receiver) == ("eu", "remediator")
    assert (firing.status, resolved.status) == (Status.FIRING, Status.RESOLVED)
    assert firing.starts_at == resolved.starts_at
    assert set(site.notebook.outcomes("webhook")) == {"store", "accepted"}
    assert site.inbox.quarantined == []
