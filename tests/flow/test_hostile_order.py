"""What a hostile or confused sender can say about time, and what it must not silence for ever."""

from __future__ import annotations

from datetime import timedelta

from msgspec import structs

from remediator.model.signal import Status
from tests.flow.rig import alert, deployment, rig


async def test_a_late_word_about_an_alert_is_told_when_it_is_repeated(database: str) -> None:
    """Its sender lost touch with Prometheus, said resolved, and says now that the same episode still fires."""
    async with rig(database) as r:
        r.put(deployment())
        first = alert()
        await r.deliver(first)
        await r.settle()
        r.rolled_out()
        await r.deliver(alert(status=Status.RESOLVED))
        await r.settle()
        await r.hasten()
        await r.sql.execute("UPDATE remediator.signals SET last_seen_at = now() - interval '1 h'")
        await r.deliver(first)
        await r.settle()
        assert "signal.late" in await r.kinds()


async def test_a_start_in_the_future_does_not_keep_an_alert_firing(database: str) -> None:
    """A clock an hour ahead began the alert; it ends by a clock that is right."""
    async with rig(database) as r:
        ahead = alert()
        ahead = structs.replace(ahead, starts_at=ahead.starts_at + timedelta(minutes=50))
        await r.deliver(ahead)
        await r.settle()
        ended = structs.replace(ahead, status=Status.RESOLVED, ends_at=ahead.starts_at)
        await r.deliver(ended)
        await r.settle()
        (row,) = await r.rows("SELECT status FROM remediator.alerts")
        assert row["status"] == "resolved"
