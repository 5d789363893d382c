"""A real Alertmanager on loopback, with storage of its own, that posts to one or more daemons."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp

from remediator.adapters.clock import SystemClock
from tests.acceptance.daemon import HOOK, LOOK_S, TAIL_BYTES, TOKEN

PROGRAM = next((found for name in ("prometheus-alertmanager", "alertmanager") if (found := shutil.which(name))), None)
MISSING = "the alertmanager program is missing: apt-get install prometheus-alertmanager (Debian)"
START_S = 30.0
_LISTENS = re.compile(r'msg="Listening on" address=(\S+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """Alertmanager's own words; every group's first notification goes out at once."""

    group_interval: str = "1s"
    repeat_interval: str = "1h"
    group_by: str = "['alertname', 'namespace']"
    max_alerts: int = 0


@dataclass(slots=True, kw_only=True)
class Alertmanager:
    """A running one. Alerts are known by their labels; each keeps the start of its episode until it is resolved."""

    url: str
    http: aiohttp.ClientSession
    log: Path
    _since: dict[str, datetime] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        folder: Path,
        http: aiohttp.ClientSession,
        hooks: Sequence[str],
        rhythm: Rhythm | None = None,
        *,
        port: int = 0,
    ) -> AsyncIterator[Alertmanager]:
        """Run one that notifies each of ``hooks`` (base addresses of daemons), on ``port`` (0: any free one)."""
        assert PROGRAM is not None
        folder.mkdir(parents=True)
        config = folder / "alertmanager.yml"
        config.write_text(_config(hooks, rhythm or Rhythm()), encoding="utf-8")
        words = [f"--config.file={config}", f"--storage.path={folder / 'data'}"]
        words += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
        log = folder / "alertmanager.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(PROGRAM, *words, stdout=output, stderr=output)
        try:
            yield cls(url=await _address(process, log), http=http, log=log)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    async def fire(self, *alerts: Mapping[str, str], for_s: float = 3600.0) -> None:
        """Say that these alerts fire, as Prometheus does again and again; their episode began when first said.

        If nothing more is said of one within ``for_s`` seconds, it is taken for resolved.
        """
        now = SystemClock().now()
        ends = now + timedelta(seconds=for_s)
        await self._post([_alert(labels, self._since.setdefault(_key(labels), now), ends) for labels in alerts])

    async def resolve(self, *alerts: Mapping[str, str]) -> None:
        """Say that these alerts are over."""
        now = SystemClock().now()
        await self._post([_alert(labels, self._since.pop(_key(labels)), now) for labels in alerts])

    async def silence(self, labels: Mapping[str, str]) -> str:
        """Silence the alerts with these labels, and return the silence's id."""
        now = SystemClock().now()
        matchers = [{"name": name, "value": value, "isRegex": False} for name, value in labels.items()]
        ends = now + timedelta(hours=1)
        wanted = {"startsAt": now.isoformat(), "endsAt": ends.isoformat(), "createdBy": "ada", "comment": "at work"}
        async with self.http.post(f"{self.url}/api/v2/silences", json={**wanted, "matchers": matchers}) as answer:
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["silenceID"])

    async def end_silence(self, number: str) -> None:
        """Let a silence be over."""
        async with self.http.delete(f"{self.url}/api/v2/silence/{number}") as answer:
            assert answer.status == 200, await answer.text()

    async def _post(self, alerts: list[dict[str, object]]) -> None:
        async with self.http.post(f"{self.url}/api/v2/alerts", json=alerts) as answer:
            assert answer.status == 200, await answer.text()


def _alert(labels: Mapping[str, str], starts: datetime, ends: datetime) -> dict[str, object]:
    return {
        "labels": dict(labels),
        "annotations": {"summary": "it does not answer"},
        "startsAt": starts.isoformat(),
        "endsAt": ends.isoformat(),
        "generatorURL": "http://prometheus.monitoring:9090/graph",
    }


def _key(labels: Mapping[str, str]) -> str:
    return json.dumps(dict(labels), sort_keys=True)


def _config(hooks: Sequence[str], rhythm: Rhythm) -> str:
    lines = [
        "route:",
        "  receiver: remediator",
        f"  group_by: {rhythm.group_by}",
        "  group_wait: 0s",
        f"  group_interval: {rhythm.group_interval}",
        f"  repeat_interval: {rhythm.repeat_interval}",
        "receivers:",
        "- name: remediator",
        "  webhook_configs:",
    ]
    for hook in hooks:
        lines += [f"  - url: {hook}{HOOK}", "    send_resolved: true", f"    max_alerts: {rhythm.max_alerts}"]
        lines += ["    http_config:"]
        lines += [f"      authorization: {{type: Bearer, credentials: {TOKEN}}}"]
    return "\n".join(lines) + "\n"


async def _address(process: asyncio.subprocess.Process, log: Path) -> str:
    """Return where it listens, as soon as its log says so and it answers there."""
    async with asyncio.timeout(START_S):
        while not (found := _LISTENS.search(log.read_text(encoding="utf-8"))):
            said = log.read_text(encoding="utf-8")[-TAIL_BYTES:]
            assert process.returncode is None, f"alertmanager ended with {process.returncode}:\n{said}"
            await asyncio.sleep(LOOK_S)
    return f"http://{found.group(1)}"
