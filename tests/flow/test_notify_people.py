"""People are told: a message outlives the outage of whoever takes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from remediator.flow.parts import Bounds
from remediator.model.errors import NotifyError
from tests.flow.rig import Rig, rig
from tests.flow.test_flow import step

QUICK = Bounds(poll_s=0.05)
DAY_S = 86400


async def fail_once(r: Rig) -> None:
    """Try what waits, now."""
    await r.sql.execute("UPDATE remediator.outbox SET not_before = now()")
    await step(r, "notify")


async def put(r: Rig) -> None:
    """Leave one message for people."""
    await r.sql.execute("""INSERT INTO remediator.outbox (payload) VALUES ('{"message": "backstage is down"}')""")


@pytest.mark.parametrize("retryable", [True, False], ids=["away", "refused"])
async def test_a_page_outlives_the_outage_of_the_pager(database: str, retryable: bool) -> None:
    """It fails for hours, or is refused until somebody mends the token: the ledger says so once, and it comes."""
    async with rig(database, bounds=QUICK) as r:
        await put(r)
        r.people.failing = NotifyError("unavailable", "the webhook answered 503", retryable=retryable)
        for _ in range(20):
            await fail_once(r)
        (wait,) = await r.rows("SELECT extract(epoch FROM not_before - now())::int AS s FROM remediator.outbox")
        assert 290 < wait["s"] <= 300
        assert (await r.kinds()).count("notify.failed") == 1
        r.people.failing = None
        await fail_once(r)
        assert [one["message"] for one in r.people.heard] == ["backstage is down"]


async def test_a_page_that_nobody_ever_takes_is_given_up(database: str) -> None:
    """Not before a day is over; the ledger has the last word."""
    assert QUICK.notify_attempts * 300 >= DAY_S
    async with rig(database, bounds=replace(QUICK, notify_attempts=2, notify_told=1)) as r:
        await put(r)
        r.people.failing = NotifyError("unavailable", "the webhook answered 503", retryable=True)
        for _ in range(3):
            await fail_once(r)
        assert [row["state"] for row in await r.rows("SELECT state FROM remediator.outbox")] == ["dead"]
        said = [one.summary for one in await r.entries() if one.kind == "notify.failed"]
        assert ["tried on" in one for one in said] == [True, False]
