"""The daemon as one piece, in the test's own process: what it makes of a bug, and of a stuck ledger."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from remediator.adapters.clock import SystemClock
from remediator.adapters.observer import Telemetry
from remediator.cli.endings import ended_by, leaves
from remediator.cli.exits import Exit
from remediator.desk import daemon_file, open_desk
from remediator.model.entry import EntryKind
from remediator.model.errors import ConfigError, InvariantBroken, LedgerError
from remediator.ports.ledger import LedgerQuery
from remediator.settings import draft_settings
from remediator.wiring import Daemon
from tests.acceptance.daemon import RULES


@asynccontextmanager
async def set_up(
    folder: Path, database: str, rules: Path = RULES, clock: SystemClock | None = None
) -> AsyncIterator[Daemon]:
    """A daemon that is ready to run."""
    flags = {
        "listen": "127.0.0.1:0",
        "insecure_no_auth": "true",
        "rules": str(rules),
        "state_dir": str(folder / "state"),
        "database_url": database,
    }
    async with AsyncExitStack() as stack:
        daemon = Daemon(draft_settings(flags, {"HOME": str(folder)}), Telemetry(), clock)
        await daemon.set_up(stack)
        yield daemon


async def _listening(daemon: Daemon) -> None:
    async with asyncio.timeout(30):
        while not daemon_file(daemon.settings.state_dir).exists():
            await asyncio.sleep(0.01)


async def _kinds(database: str) -> list[EntryKind]:
    async with open_desk({"database_url": database}) as desk:
        return [entry.kind for entry in await desk.view.entries(LedgerQuery())]


async def test_a_start_and_a_stop_are_in_the_ledger(tmp_path: Path, database: str) -> None:
    """So that somebody who wonders why nothing was done that night sees that nobody was there."""
    async with set_up(tmp_path, database) as daemon, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(daemon.run())
        await _listening(daemon)
        assert daemon_file(daemon.settings.state_dir).stat().st_mode & 0o777 == 0o600
        daemon.supervisor.stop.set()
        await running
    assert await _kinds(database) == [EntryKind.RULES_LOADED, EntryKind.STARTED, EntryKind.STOPPED]
    assert not daemon_file(daemon.settings.state_dir).exists()


async def test_a_broken_invariant_ends_the_daemon_and_not_with_success(tmp_path: Path, database: str) -> None:
    """It ends in good order, and then raises, so that whoever runs it sees a failure."""
    async with set_up(tmp_path, database) as daemon:
        daemon.on_bug(InvariantBroken("two times two is five"))
        with pytest.raises(InvariantBroken, match="two times two is five"):
            await daemon.run()
    assert EntryKind.STOPPED not in await _kinds(database)


async def test_an_entry_that_cannot_be_written_is_not_waited_for(
    tmp_path: Path, database: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The last word before the end has two seconds; then it is said in the log, and the end comes all the same."""
    async with set_up(tmp_path, database) as daemon:
        daemon.supervisor.stop.set()
        blocker = await asyncpg.connect(database)
        try:
            async with blocker.transaction():
                await blocker.execute("LOCK TABLE remediator.ledger IN ACCESS EXCLUSIVE MODE")
                async with asyncio.timeout(30):
                    await daemon.run()
        finally:
            await blocker.close()
    assert "unrecorded" in "".join(capfd.readouterr())
    assert EntryKind.STOPPED not in await _kinds(database)


async def _until_loaded(database: str, times: int) -> None:
    async with asyncio.timeout(30):
        while (await _kinds(database)).count(EntryKind.RULES_LOADED) < times:
            await asyncio.sleep(0.05)


class Behind(SystemClock):
    """The clock of a host that nobody sets right: three minutes behind."""

    def now(self) -> datetime:
        """Return the wrong time."""
        return super().now() - timedelta(minutes=3)


async def test_a_wrong_clock_is_told(tmp_path: Path, database: str, capfd: pytest.CaptureFixture[str]) -> None:
    """With the measured difference: to whoever asks for readiness, for metrics, or reads the log or the ledger."""
    async with (
        set_up(tmp_path, database, clock=Behind()) as daemon,
        aiohttp.ClientSession() as http,
        asyncio.TaskGroup() as tasks,
    ):
        running = tasks.create_task(daemon.run())
        await _listening(daemon)
        async with asyncio.timeout(30):
            while EntryKind.CLOCKS not in await _kinds(database):
                await asyncio.sleep(0.05)
        assert daemon.server is not None
        async with http.get(f"{daemon.server.url}/readyz") as answer:
            assert answer.status == 503
            detail = (await answer.json())["checks"]["clocks"]["detail"]
        async with http.get(f"{daemon.server.url}/metrics") as answer:
            (line,) = [line for line in (await answer.text()).splitlines() if line.startswith("remediator_clock_skew")]
        daemon.supervisor.stop.set()
        await running
    assert re.search(r"3 min( \d+ s)? behind the database's: decisions of 4 rules are held", detail)
    assert -200 < float(line.split()[1]) < -179
    assert "clocks skewed" in "".join(capfd.readouterr())


@pytest.mark.parametrize("ending", [False, True], ids=["running", "stopping"])
async def test_rules_that_change_while_the_database_is_away_are_recorded(
    tmp_path: Path, database: str, ending: bool
) -> None:
    """They are in force at once, and in the ledger as soon as it can be written to; at the latest at the end."""
    rules = tmp_path / "rules.yaml"
    text = (RULES / "acceptance.yaml").read_text(encoding="utf-8")
    rules.write_text(text, encoding="utf-8")
    async with set_up(tmp_path, database, rules) as daemon, asyncio.TaskGroup() as tasks:
        owner = await asyncpg.connect(database)
        running = tasks.create_task(daemon.run())
        await _listening(daemon)
        await owner.execute("REVOKE INSERT ON remediator.ledger FROM remediator_app")
        rules.write_text(f"{text}# changed\n", encoding="utf-8")
        await daemon.rulebook.reload()
        async with asyncio.timeout(30):
            while not daemon.rule_history.waiting:
                await asyncio.sleep(0.01)
        if ending:
            await owner.execute("GRANT INSERT ON remediator.ledger TO remediator_app")
            daemon.supervisor.stop.set()
        else:
            await owner.execute("GRANT INSERT ON remediator.ledger TO remediator_app")
            await _until_loaded(database, 2)
            daemon.supervisor.stop.set()
        await running
        await owner.close()
    assert (await _kinds(database)).count(EntryKind.RULES_LOADED) == 2


def test_what_ends_a_daemon_is_told_by_kind(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Faults are listed, what happened outside is one sentence, a bug has its trace; the worst makes the exit code."""
    outside = LedgerError("unavailable", "the database is gone")
    nest = BaseExceptionGroup("", [ExceptionGroup("", [ConfigError("one", "two")]), outside, ZeroDivisionError("bug")])
    assert [type(leaf) for leaf in leaves(nest)] == [ConfigError, LedgerError, ZeroDivisionError]
    assert ended_by(ConfigError("one", "two")) is Exit.FAULTY
    assert capsys.readouterr().err == "remediator: cannot start:\n  one\n  two\n"
    with caplog.at_level(logging.CRITICAL, "remediator"):
        assert ended_by(nest) is Exit.FAILED
    assert [record.exc_info is None for record in caplog.records] == [True, False]
