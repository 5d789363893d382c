"""What commands on the ledger work with: the daemon's database, or the one that it left on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger.connect import own_login, reachable
from remediator.adapters.ledger.embedded import running
from remediator.adapters.ledger.loans import LedgerLoanStore
from remediator.adapters.ledger.migrate import migrate
from remediator.adapters.ledger.pauses import LedgerPauseStore
from remediator.adapters.ledger.pool import open_pools
from remediator.adapters.ledger.record import LedgerAppender, LedgerView
from remediator.adapters.ledger.seals import LedgerRecords
from remediator.adapters.ledger.thresholds import LedgerThresholdView
from remediator.adapters.ledger.undo import LedgerUndos
from remediator.model.errors import ConfigError
from remediator.ports.clock import Clock
from remediator.ports.ledger import Approvals, LedgerReader, Undos
from remediator.ports.loans import LoanView
from remediator.ports.measuring import ThresholdView
from remediator.ports.pauses import PauseStore
from remediator.ports.seals import SealReader
from remediator.settings import load_settings


def daemon_file(state_dir: Path) -> Path:
    """Return the file in which a running daemon says where it is, for the commands on the same machine."""
    return state_dir / "daemon.json"


@dataclass(frozen=True, slots=True)
class Desk:
    """What commands that read the ledger, or answer for it, work with. ``live``: a daemon may be writing to it.

    ``checkpoints``: where a daemon on this machine keeps them; the file need not be there.
    """

    view: LedgerReader
    records: SealReader
    approvals: Approvals
    undos: Undos
    pauses: PauseStore
    loans: LoanView
    thresholds: ThresholdView
    clock: Clock
    live: bool
    checkpoints: Path


@asynccontextmanager
async def open_desk(flags: Mapping[str, Any]) -> AsyncIterator[Desk]:
    """Open the ledger that the flags, the environment or the daemon on this machine name.

    Raises ConfigError when there is none, LedgerError when nobody answers.
    """
    settings = load_settings(flags)
    async with AsyncExitStack() as stack:
        dsn, live = settings.database_url, True
        if dsn is None:
            dsn, live = await _dsn_on_this_machine(settings.state_dir, stack)
        pools = await stack.enter_async_context(open_pools(dsn))
        appender = LedgerAppender(pools.stages)
        yield Desk(
            view=LedgerView(pools.read),
            records=LedgerRecords(pools.read),
            approvals=appender,
            undos=LedgerUndos(pools.stages),
            pauses=LedgerPauseStore(pools.stages),
            loans=LedgerLoanStore(pools.read),
            thresholds=LedgerThresholdView(pools.read),
            clock=SystemClock(),
            live=live,
            checkpoints=settings.checkpoints,
        )


async def _dsn_on_this_machine(state_dir: Path, stack: AsyncExitStack) -> tuple[str, bool]:
    """Return the daemon's database, and whether it runs; else it is started for the length of the command."""
    place = daemon_file(state_dir)
    if place.exists():
        dsn = str(msgspec.json.decode(place.read_bytes())["dsn"])
        if await reachable(dsn):
            return dsn, True
    data = state_dir / "postgres"
    if not (data / "cluster").exists():
        message = f"there is no ledger in {state_dir}: the daemon has not run here; give --state-dir or --database-url"
        raise ConfigError(message)
    server = await stack.enter_async_context(running(data))
    await migrate(server.dsn)
    return await own_login(server.dsn), False
