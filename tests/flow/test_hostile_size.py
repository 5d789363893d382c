"""Alerts that are allowed to be large, and must stop nobody."""

from __future__ import annotations

import pytest
from msgspec import structs

from remediator.adapters.ledger.matching import MOST_ASIDE
from remediator.intake.alert import MAX_LABEL_CHARS
from remediator.model.errors import LedgerError
from tests.flow.rig import alert, deployment, rig
from tests.flow.test_flow import step


async def test_a_name_that_is_too_long_for_an_index_stops_nobody(database: str) -> None:
    """As long as a label may be, of letters that cannot be compressed: it is judged, and so is what comes with it."""
    name = "".join(chr(0x4E00 + place * place * 7919 % 20_000) for place in range(MAX_LABEL_CHARS))
    async with rig(database) as r:
        r.put(deployment())
        huge = alert("huge")
        huge = structs.replace(huge, labels={**huge.labels, "alertname": name})
        await r.deliver(huge, alert())
        await step(r, "match")
        assert await r.rows("SELECT FROM remediator.inbox") == []
        assert len(await r.rows("SELECT FROM remediator.alerts WHERE status = 'firing'")) == 2


async def test_what_the_database_does_not_take_is_put_aside(database: str) -> None:
    """One of many cannot be stored, whatever the reason: people are told of it, and the others are judged."""
    async with rig(database) as r:
        r.put(deployment())
        await r.sql.execute(
            "ALTER TABLE remediator.alerts ADD CHECK (status = 'resolved' OR labels ->> 'deployment' <> 'bad')"
        )
        bad = alert("bad")
        assert bad.labels["deployment"] == "bad"
        await r.deliver(*(alert(f"app-{number}") for number in range(5)), bad, alert())
        for _ in range(6):
            await step(r, "match")
        assert await r.rows("SELECT FROM remediator.inbox") == []
        assert len(await r.rows("SELECT FROM remediator.alerts WHERE status = 'firing'")) == 6
        (said,) = [one.summary for one in await r.entries() if one.kind == "signal.quarantined"]
        assert said.startswith("BackstageDown (firing) was taken and cannot be judged")
        assert len(await r.rows("SELECT FROM remediator.quarantine")) == 1
        await step(r, "assess", "admit", "notify")
        assert said in [one["message"] for one in r.people.heard]
        decided = await r.rows("SELECT id FROM remediator.actions")
        assert len(decided) == 1


async def test_what_the_database_takes_nothing_of_is_not_put_aside_for_ever(database: str) -> None:
    """Where all of them are refused it is not the alerts: the rest waits until somebody has mended that."""
    async with rig(database) as r:
        await r.sql.execute("ALTER TABLE remediator.alerts ADD CHECK (labels = '{}')")
        await r.deliver(*(alert(f"app-{number}") for number in range(MOST_ASIDE + 5)))
        for _ in range(MOST_ASIDE):
            await step(r, "match")
        with pytest.raises(LedgerError, match="CheckViolation"):
            await step(r, "match")
        assert len(await r.rows("SELECT FROM remediator.inbox")) == 5
