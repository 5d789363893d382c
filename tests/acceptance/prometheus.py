"""A real Prometheus on loopback, with storage of its own, in which alerts come and go by themselves."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

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


@asynccontextmanager
async def prometheus(folder: Path, short: str = "Short", port: int = 0) -> AsyncIterator[str]:
    """Run one in which the alert ``short`` fires for ``SHORT_S`` seconds after its start, and ``Lasting`` for ever."""
    assert PROGRAM is not None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(_CONFIG, encoding="utf-8")
    (folder / "rules.yml").write_text(_RULES % {"short": short, "seconds": SHORT_S}, encoding="utf-8")
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
