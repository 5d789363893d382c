"""The daemon of the demo: the real one, as a process of its own, started as anybody would start it."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from remediator.cli.demo_world import DemoFailed
from remediator.desk import daemon_file
from remediator.sandbox.cluster import SandboxCluster

RULES = Path(__file__).with_name("demo_rules")
START_S = 60.0
END_S = 30.0
LOOK_S = 0.05
TAIL_BYTES = 3000
LOG = "daemon.log"
TROUBLES = 5
TROUBLED = frozenset({"warning", "error", "critical"})
WORDS = ("-m", "remediator")


class DemoDaemon:
    """``remediator serve`` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Choose the places; nothing is started."""
        self.folder = folder
        self.state_dir = folder / "state"
        self.log = folder / LOG
        self.token = secrets.token_urlsafe(24)
        self._process: asyncio.subprocess.Process | None = None

    @asynccontextmanager
    async def running(self, cluster: SandboxCluster) -> AsyncIterator[str]:
        """Run the daemon against the cluster; yields its URL when it takes alerts."""
        rules = self.folder / "rules"
        shutil.copytree(RULES, rules, ignore=shutil.ignore_patterns("__pycache__"))
        token = self.folder / "webhook-token"
        token.write_text(self.token + "\n", encoding="utf-8")
        token.chmod(0o600)
        kubeconfig = self.folder / "kubeconfig"
        cluster.server.write_kubeconfig(kubeconfig)
        words = ["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]
        words += ["--rules", str(rules), "--state-dir", str(self.state_dir), "--kubeconfig", str(kubeconfig)]
        words += ["--webhook-token-file", str(token), "--spacing", "0s", "--open-per-cluster", "3"]
        # Four workloads are too few for shares of them to mean anything.
        words += ["--blast-namespace-percent", "100", "--blast-cluster-percent", "100"]
        with self.log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(sys.executable, *WORDS, *words, stdout=log, stderr=log)
        self._process = process
        try:
            yield await self._url(process)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()

    async def end(self) -> None:
        """Stop the daemon as Kubernetes would, and insist that it drains and ends well."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(END_S):
                code = await self._process.wait()
        except TimeoutError as error:
            raise DemoFailed(f"the daemon did not stop within {END_S:.0f} s of SIGTERM") from error
        if code != 0:
            raise DemoFailed(f"the daemon ended with exit code {code}:\n{self._tail()}")

    async def _url(self, process: asyncio.subprocess.Process) -> str:
        """Wait for the file in which a running daemon says where it is."""
        place = daemon_file(self.state_dir)
        try:
            async with asyncio.timeout(START_S):
                while not place.exists():
                    if process.returncode is not None:
                        raise DemoFailed(f"the daemon ended with exit code {process.returncode}:\n{self._tail()}")
                    await asyncio.sleep(LOOK_S)
        except TimeoutError as error:
            raise DemoFailed(f"the daemon did not start within {START_S:.0f} s:\n{self._tail()}") from error
        return str(msgspec.json.decode(place.read_bytes())["url"])

    def _tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-TAIL_BYTES:]


def troubles(log: Path) -> list[str]:
    """Return the last lines of a daemon's log that are warnings or worse: why a demo failed."""
    if not log.exists():
        return []
    found = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in found if _level(line) in TROUBLED][-TROUBLES:]


def _level(line: str) -> str:
    """Return the level of a line of the log; what is no JSON was printed by a daemon that could not start."""
    try:
        return str(msgspec.json.decode(line)["level"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return "critical"
