"""The ledger of real daemons: sealed over kills and restarts, verified by the command, and guarded while they run."""

from __future__ import annotations

import asyncio
import sys

import asyncpg

from remediator.adapters.clock import SystemClock
from remediator.model.entry import EntryKind
from tests.acceptance.daemon import Daemon, clean_environment
from tests.acceptance.scene import Scene, body
from tests.adapters.ledger.forging import forge

ALERTS = 40


async def verify(scene: Scene, *daemons: Daemon) -> tuple[int, str]:
    """Verify the ledger with what all daemons have witnessed, in files and logs; return exit code and report."""
    witnesses = [file for one in daemons for file in (one.state_dir / "checkpoints.jsonl", one.log)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "remediator", "ledger", "verify", "--database-url", scene.database),
        *(word for file in witnesses for word in ("--checkpoints", str(file))),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=clean_environment(),
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def post(scene: Scene, daemon: Daemon, name: str) -> None:
    """Post alerts that no rule matches: an entry each."""
    labels = ({"alertname": f"{name}{number}"} for number in range(ALERTS))
    assert await daemon.post(scene.http, body(labels, SystemClock().now())) == 200


async def test_the_chain_is_whole_over_replicas_kills_and_restarts(scene: Scene) -> None:
    """Two replicas seal one ledger; one is killed and comes back; all that either has witnessed agrees in the end."""
    first, second = scene.daemon(name="first"), scene.daemon(name="second")
    await first.start()
    await second.start()
    await post(scene, first, "Early")
    await scene.until_kind(EntryKind.SIGNAL_UNMATCHED, ALERTS)
    await first.kill()
    await post(scene, second, "Between")
    await first.start()
    await post(scene, first, "Late")
    await scene.until_kind(EntryKind.SIGNAL_UNMATCHED, 3 * ALERTS)
    assert await second.stop() == 0
    assert await first.stop() == 0
    code, said = await verify(scene, first, second)
    assert code == 0, said
    # The last word of the last daemon is sealed, too.
    assert f"Verified {len(await scene.entries())} entries" in said
    assert "not sealed" not in said


async def test_a_daemon_says_that_what_it_has_seen_is_gone(scene: Scene) -> None:
    """Cut off with its seals while nobody looked: its own checkpoint tells, in the log, the metric and the report."""
    daemon = scene.daemon()
    await daemon.start()
    await post(scene, daemon, "Gone")
    owner = await asyncpg.connect(scene.database)
    try:
        await scene.until("something is sealed", lambda: owner.fetchval("SELECT EXISTS (SELECT FROM remediator.seals)"))
        await post(scene, daemon, "More")
        await scene.until_kind(EntryKind.SIGNAL_UNMATCHED, 2 * ALERTS)
        assert await daemon.stop() == 0
        assert (await verify(scene, daemon))[0] == 0
        keep = "(SELECT upto FROM remediator.seals WHERE number = 1)"
        cut = f"DELETE FROM remediator.ledger WHERE seq > {keep}"  # noqa: S608 - words of ours
        await forge(owner, cut, "DELETE FROM remediator.seals WHERE number > 1")
    finally:
        await owner.close()
    code, said = await verify(scene, daemon)
    assert (code, "cut off" in said) == (4, True), said
    await daemon.start()

    async def told() -> bool:
        status, text = await daemon.get(scene.http, "/metrics")
        return status == 200 and "remediator_ledger_chain_whole 0.0" in text.splitlines()

    await scene.until("the metric says so", told)
    (line,) = [line for line in daemon.lines() if line["event"] == "seal tampered"]
    assert (line["level"], line["stage"]) == ("error", "seal")
    # Alerts are taken all the same: a monitor that goes blind would make matters worse.
    assert (await daemon.get(scene.http, "/readyz"))[0] == 200
    await post(scene, daemon, "After")
    await scene.until_kind(EntryKind.SIGNAL_UNMATCHED, ALERTS)
