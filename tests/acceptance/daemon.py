"""``remediator serve`` as a process of its own, started as anybody would start it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from remediator.adapters.clock import SystemClock
from remediator.desk import daemon_file

HOOK = "/api/v1/webhooks/alertmanager"
TOKEN = "acceptance-token-0123456789abcdef"
RULES = Path(__file__).with_name("rules")
START_S = 60.0
END_S = 40.0
LOOK_S = 0.02
TAIL_BYTES = 4000


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment without settings of ours, so that only what a test gives counts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REMEDIATOR_", "KUBE"))}
    return kept | more


class Daemon:
    """One replica. Its port stays the same over restarts, as that of a Service does."""

    def __init__(self, folder: Path, flags: Sequence[str] = (), *, rules: Path = RULES) -> None:
        """Choose the places; nothing is started. ``flags`` are added to the usual ones."""
        folder.mkdir(parents=True, exist_ok=True)
        self.state_dir = folder / "state"
        self.log = folder / "daemon.log"
        self.url = f"http://127.0.0.1:{free_port()}"
        token = folder / "webhook-token"
        token.write_text(TOKEN + "\n", encoding="utf-8")
        token.chmod(0o600)
        self._words = [
            *("serve", "--listen", self.url.removeprefix("http://"), "--log-format", "json", "--rules", str(rules)),
            *("--state-dir", str(self.state_dir), "--webhook-token-file", str(token), *flags),
        ]
        self.process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self.process is not None
        return self.process.pid

    async def start(self) -> float:
        """Start it and return, when it takes alerts, after how many seconds that was."""
        await self.launch()
        clock = SystemClock()
        began = clock.monotonic()
        await self.listening()
        return clock.monotonic() - began

    async def listening(self) -> None:
        """Wait until it takes alerts."""
        async with asyncio.timeout(START_S):
            while not self._listens():
                assert self.process is not None
                assert self.process.returncode is None, f"it ended with {self.process.returncode}:\n{self.tail()}"
                await asyncio.sleep(LOOK_S)

    async def launch(self) -> None:
        """Start the process without waiting for anything."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "remediator", *self._words), stdout=log, stderr=log, env=clean_environment()
            )

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.ended()

    async def kill(self) -> None:
        """End it as a power cut would."""
        assert await self.stop(signal.SIGKILL) == -signal.SIGKILL

    async def ended(self, seconds: float = END_S) -> int:
        """Wait for the end and return the exit code."""
        assert self.process is not None
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    async def clear_away(self) -> None:
        """End it if it still runs, and insist that it ends well: what happens when a test is over, or has failed."""
        if self.process is None or self.process.returncode is not None:
            return
        try:
            code = await self.stop()
            assert code == 0, f"it ended with {code}:\n{self.tail()}"
        finally:
            if self.process.returncode is None:
                self.process.kill()
                await self.process.wait()

    def tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-TAIL_BYTES:]

    def lines(self) -> list[dict[str, Any]]:
        """Return the log's lines; a line that is no JSON object fails."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    async def post(self, http: aiohttp.ClientSession, body: bytes | dict[str, Any]) -> int:
        """Post a body as Alertmanager does and return the status; 0 where nobody answers."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            async with http.post(self.url + HOOK, data=data, headers=headers) as answer:
                await answer.read()
                return answer.status
        except aiohttp.ClientConnectionError:
            return 0

    async def get(self, http: aiohttp.ClientSession, path: str) -> tuple[int, str]:
        """Get a page and return status and text."""
        async with http.get(self.url + path) as answer:
            return answer.status, await answer.text()

    def _listens(self) -> bool:
        place = daemon_file(self.state_dir)
        # A killed daemon leaves its file behind: only the pid tells whose it is.
        return place.exists() and json.loads(place.read_bytes())["pid"] == self.pid
