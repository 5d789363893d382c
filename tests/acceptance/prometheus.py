"""A real Prometheus on loopback, with storage of its own, in which alerts come and go by themselves."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

PROGRAM = shutil.which("prometheus")
MISSING = "the prometheus program is missing: apt-get install prometheus (Debian)"
START_S = 30.0
SHORT_S = 4
_LISTENS = re.compile(r"Listening on\" address=(\S+)")
_CONFIG = "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n"
# The first evaluation is remembered by a series of its own.
_RULES = """
groups:
- name: g
  rules:
  - record: began
    expr: min_over_time(began[1h]) or vector(time())
  - alert: %(short)s
    expr: time() - began < %(seconds)d
    labels: {namespace: backstage, deployment: backstage}
  - alert: Lasting
    expr: vector(1)
"""


_SCRAPES = """
global: {scrape_interval: 250ms, evaluation_interval: 1s}
scrape_configs:
- job_name: exporter
  honor_labels: true
  static_configs: [{targets: ["%s"]}]
"""


@asynccontextmanager
async def prometheus(folder: Path, short: str = "Short", port: int = 0) -> AsyncIterator[str]:
    """Run one in which the alert ``short`` fires for ``SHORT_S`` seconds after its start, and ``Lasting`` for ever."""
    rules = _RULES % {"short": short, "seconds": SHORT_S}
    async with _running(folder, {"prometheus.yml": _CONFIG, "rules.yml": rules}, port) as url:
        yield url


@asynccontextmanager
async def scraping(folder: Path, target: str, port: int = 0) -> AsyncIterator[str]:
    """Run one that scrapes ``target`` (host and port) four times a second."""
    async with _running(folder, {"prometheus.yml": _SCRAPES % target}, port) as url:
        yield url


@asynccontextmanager
async def alarming(folder: Path, target: str, alertmanager: str, rules: str, port: int) -> AsyncIterator[str]:
    """Run one that scrapes ``target``, and tells ``alertmanager`` (host and port) what ``rules`` say of it."""
    peers = f'[{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]'
    more = f"rule_files: [rules.yml]\nalerting: {{alertmanagers: {peers}}}\n"
    async with _running(folder, {"prometheus.yml": _SCRAPES % target + more, "rules.yml": rules}, port) as url:
        yield url


@dataclass(slots=True)
class Exporter:
    """What is scraped: gauges of a test's own. ``address``: host and port."""

    address: str = ""
    text: str = ""

    def say(self, **values: float) -> None:
        """Have these values for the portal from now on."""
        labels = '{namespace="backstage",deployment="backstage"}'
        self.text = "".join(f"{name}{labels} {value}\n" for name, value in values.items())

    @classmethod
    @asynccontextmanager
    async def listening(cls) -> AsyncIterator[Exporter]:
        """Listen."""
        exporter = cls()

        async def metrics(_: web.BaseRequest) -> web.Response:
            return web.Response(text=exporter.text, headers={"Content-Type": "text/plain; version=0.0.4"})

        runner = web.ServerRunner(web.Server(metrics), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        exporter.address = f"127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield exporter
        finally:
            await runner.cleanup()


@asynccontextmanager
async def _running(folder: Path, files: dict[str, str], port: int) -> AsyncIterator[str]:
    assert PROGRAM is not None
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    words = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    words += [f"--web.listen-address=127.0.0.1:{port}"]
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(PROGRAM, *words, stdout=output, stderr=output)
    try:
        async with asyncio.timeout(START_S):
            while not (found := _LISTENS.search(log.read_text(encoding="utf-8"))):
                assert process.returncode is None, log.read_text(encoding="utf-8")
                await asyncio.sleep(0.05)
        yield f"http://{found.group(1)}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
