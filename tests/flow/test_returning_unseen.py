"""What was lent for a measure of the threshold table stays lent while nobody knows how that measure stands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from remediator.adapters.ledger.loans import LedgerLoanStore
from remediator.core.returning import next_move
from remediator.model.entry import EntryKind
from remediator.model.measure import Unseen
from remediator.model.rule import Rung
from remediator.sandbox.defaults import fill_in
from remediator.sandbox.resources import DEPLOYMENTS
from tests.flow.measured import Measured, a_row, measured
from tests.flow.rig import deployment
from tests.flow.test_undo import last

ROW = a_row(ladder=(Rung(action="scale", parameters={"step": 4, "max": 20, "return_after": "1h"}),))


@asynccontextmanager
async def lent(database: str) -> AsyncIterator[tuple[Measured, LedgerLoanStore]]:
    """4 pods were lent 4 more for a measure that has been well for an hour; the loan is due."""
    async with measured(database, ROW, loans=True) as m:
        loans = m.r.parts.loans
        assert isinstance(loans, LedgerLoanStore)
        made = deployment(replicas=4)
        fill_in(DEPLOYMENTS, made)
        m.r.put(made)
        m.says.values = {"backstage": 75.0}
        await m.tick()
        m.r.rolled_out()
        m.says.values = {"backstage": 20.0}
        await m.tick()
        for _ in range(3):
            await m.r.hasten()
        assert await m.r.states() == ["recovered"]
        assert await loans.step(8, next_move) == 0
        await m.r.sql.execute("UPDATE remediator.incidents SET resolved_at = resolved_at - interval '1 h'")
        yield m, loans


async def asked(m: Measured, loans: LedgerLoanStore) -> tuple[int, str]:
    """Let the loan be asked for now, and follow it; return the number of pods, and what is noted of it."""
    await m.r.sql.execute("UPDATE remediator.loans SET check_at = now()")
    assert await loans.step(8, next_move) == 1
    await m.r.settle()
    await m.r.sql.execute("UPDATE remediator.loans SET check_at = now()")
    await loans.step(8, next_move)
    note: str = await m.r.sql.fetchval("SELECT note FROM remediator.loans")
    return m.r.live()["spec"]["replicas"], note


async def test_nothing_goes_back_for_a_measure_that_is_not_known_to_be_well(database: str) -> None:
    """Prometheus does not answer; the series is gone; nobody looks; it is over the threshold: all pods are kept."""
    async with lent(database) as (m, loans):
        m.says.problem = Unseen.UNREACHABLE
        await m.tick()
        assert await asked(m, loans) == (8, "not_calm")
        held = await last(m.r, EntryKind.DECISION_HOLD)
        assert "what A1 has lent may be needed, nothing is returned" in held.summary
        assert "cpu-usage is unknown (unreachable: p:9090)" in held.summary
        m.says.problem = None
        m.says.values = {"other": 20.0}
        await m.tick()
        assert await loans.uneasy(1, 60.0) == ("cpu-usage is unknown (vanished)",)
        await m.r.sql.execute("DELETE FROM remediator.threshold_series")
        assert await loans.uneasy(1, 60.0) == ("cpu-usage is unknown (vanished)",)
        m.says.values = {"backstage": 20.0}
        await m.tick(passed_s=20.0)
        assert await loans.uneasy(1, 60.0) == ()
        await m.age(61.0)
        assert await loans.uneasy(1, 60.0) == ("cpu-usage is unknown (nobody has looked)",)
        await m.tick()
        await m.r.sql.execute("UPDATE remediator.threshold_series SET phase = 'pending'")
        assert await loans.uneasy(1, 60.0) == ("cpu-usage is pending",)
        await m.r.sql.execute("UPDATE remediator.threshold_series SET phase = 'ok'")
        assert (await asked(m, loans))[0] == 6
