"""``remediator status``: what is lent, and until when."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from msgspec import structs

from remediator.adapters.ledger.loans import LedgerLoanStore
from remediator.adapters.ledger.pool import open_pools
from remediator.cli.paint import Paint
from remediator.cli.status import on_loan
from remediator.core.returning import next_move
from remediator.model.loan import Loan, LoanState
from remediator.model.rule import Rung
from tests.cli.conftest import Type
from tests.core.given import NOW
from tests.flow.rig import a_rule, alert, deployment, rig

LENDS = a_rule(ladder=(Rung(action="scale", parameters={"step": 3, "max": 20, "return_after": "2h"}),))


async def _lend(dsn: str) -> None:
    async with rig(dsn, LENDS) as r, open_pools(dsn) as pools:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        r.rolled_out()
        await r.sql.execute("UPDATE remediator.actions SET state = 'unchanged', ended_at = now()")
        assert await LedgerLoanStore(pools.stages).step(8, next_move) == 0


def test_what_is_lent_is_shown(cli: Type, database: str) -> None:
    """The action, until when, whose it is and what was done; in JSON the same."""
    before = cli("status", "--database-url", database).out
    assert "LENT" not in before
    asyncio.run(_lend(database))
    shown = cli("status", "--database-url", database).out
    assert "UNTIL (UTC)" in shown
    assert "deployment/backstage/backstage" in shown
    told: dict[str, Any] = json.loads(cli("status", "--json", "--database-url", database).out)
    (loan,) = told["lent"]
    assert (loan["action"], loan["state"]) == (1, "lent")
    assert loan["summary"] == "scale deployment/backstage in backstage from 3 to 6 pods"


def test_how_far_it_is_back_is_shown() -> None:
    """On its way, in part, or not at all; what is foreign is spelt."""
    loan = Loan(action=7, target_key="deployment/a/b", state=LoanState.LENT, return_at=NOW, summary="scale it\x1b[2J")
    paint = Paint(on=False)
    lines = on_loan(
        (loan, structs.replace(loan, state=LoanState.RETURNING), structs.replace(loan, note="in part, by A9")), paint
    )
    assert "\x1b" not in "".join(lines)
    assert [line.rsplit("  ", 1)[1].partition("J")[2] for line in lines[-3:]] == [
        "",
        " (going back)",
        " (in part, by A9)",
    ]
    assert on_loan((), paint) == []
