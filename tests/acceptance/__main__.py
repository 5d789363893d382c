"""``python -m tests.acceptance``: the runbook's threshold table, row by row, with real parts; for a person to read.

Prometheus, Alertmanager and a PostgreSQL to be repaired are real, the cluster is the sandbox, the daemon is a process
of its own. It takes about a minute. The exit code is 0 if every row is as it must be, else 1.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from tests.acceptance import alertmanager, prometheus
from tests.acceptance.table import stories
from tests.acceptance.table.stage import NotSoError, Stage
from tests.acceptance.table.verdicts import closing, shown
from tests.database_server import BLANK, DatabaseServer

PLAIN = (sys.executable, "-m", "tests.adapters.databases.plain_server")


def main() -> int:
    """Play the table."""
    missing = [
        words
        for program, words in ((prometheus.PROGRAM, prometheus.MISSING), (alertmanager.PROGRAM, alertmanager.MISSING))
        if program is None
    ]
    if missing:
        print("\n".join(missing), file=sys.stderr)
        return 1
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="acceptance-") as name:
        folder = Path(name)
        _say("==> Starting two PostgreSQL servers, Prometheus, Alertmanager, a sandbox cluster and the daemon")
        with (
            DatabaseServer(folder / "ledger") as ledger,
            DatabaseServer(folder / "sick", migrated=False, program=PLAIN) as sick,
        ):
            return asyncio.run(_play(folder, ledger.create("acceptance"), sick.create("portal", BLANK)))


async def _play(folder: Path, ledger: str, sick: str) -> int:
    async with Stage.playing(folder, ledger, sick) as stage:
        _say("==> Driving each row over its thresholds (about a minute)")
        lines, missing = await stories.play(stage)
        _, said = await stage.type("log", "--lines", "1000")
        for line in lines:
            # Alerts are of no incident yet when they are told: they are found by the row's name.
            marks = (f"#{line.incident} ", f"{line.rule} of ")
            own = [one for one in said.splitlines() if any(mark in one for mark in marks)]
            _say("\n".join([f"\n==> remediator log | grep -e '{marks[0]}' -e '{marks[1]}'", *own]))
        _say("\n==> remediator doctor: everything there")
        _say(await _doctor(stage))
        try:
            await stage.blind()
        except NotSoError as error:
            missing.append(str(error))
        _say("\n==> remediator doctor: Prometheus stopped")
        _say(await _doctor(stage))
    _say("\n".join(["", *shown(lines), "", *closing(lines, missing)]))
    return 1 if missing or any(line.faults for line in lines) else 0


async def _doctor(stage: Stage) -> str:
    """Return what stops it, or its last line where nothing does."""
    words = ["doctor", "--kubeconfig", str(stage.scene.cluster.kubeconfig_path), "--insecure-no-auth", *stage.flags]
    _, said = await stage.type(*words)
    lines = said.rstrip().splitlines()
    return "\n".join([*(line for line in lines if line.startswith("STOP")), lines[-1]])


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
