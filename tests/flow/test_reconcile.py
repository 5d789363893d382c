"""What is found by asking takes the way of every alert; what is silenced waits; what was missed is told."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from remediator.adapters.clock import SystemClock
from remediator.model.errors import LedgerError, MonitoringError
from remediator.model.sighting import Disposition, Episode
from remediator.model.signal import Delivery, Receipt, Signal, Status
from tests.flow.rig import Rig, alert, deployment, rig
from tests.flow.watching import Memory, Peers, ago, seen, watching


def over(signal: Signal) -> Signal:
    """Return the end of an alert, a few seconds ago."""
    return structs.replace(signal, status=Status.RESOLVED, ends_at=ago(5))


async def age(r: Rig) -> None:
    """Let everything that was told be a minute older, so that it may be told again."""
    await r.sql.execute("UPDATE remediator.signals SET last_seen_at = last_seen_at - interval '2 min'")


async def test_an_alert_without_a_webhook_is_remediated_once(database: str) -> None:
    """Found, acted on, found again and again, gone twice: one write, and the incident ends."""
    fires = alert()
    peers = Peers(has=(seen(fires),))
    async with rig(database) as r, watching(r, database, peers) as watch:
        r.put(deployment())
        for _ in range(3):
            await watch.look()
        assert len(r.writes()) == 1
        r.rolled_out()
        peers.has = ()
        await watch.look()
        assert "alert.resolved" not in await r.kinds()
        await watch.look()
        await r.hasten()
        assert await r.states() == ["recovered"]
        assert (await r.kinds())[-1] == "incident.resolved"
        assert await r.sql.fetchval("SELECT count(*) FROM remediator.incidents") == 1


async def test_a_replay_is_late_and_a_look_opens_it_again(database: str) -> None:
    """Its end was told and it fires on: no notification makes it act, what Alertmanager has now does."""
    fires = alert()
    peers = Peers()
    async with rig(database) as r, watching(r, database, peers) as watch:
        r.put(deployment())
        await r.deliver(fires)
        await r.settle()
        r.rolled_out()
        await r.deliver(over(fires))
        await r.settle()
        await r.hasten()
        assert await r.states() == ["recovered"]
        before = r.line.bells.doubts
        await age(r)
        await r.deliver(fires)
        await r.settle()
        assert "signal.late" in await r.kinds()
        assert r.line.bells.doubts > before
        assert len(r.writes()) == 1
        # What Alertmanager last heard of it is older than the end.
        peers.has = (seen(fires, updated_ago_s=300.0),)
        await watch.look()
        assert "alert.reopened" not in await r.kinds()
        peers.has = (seen(fires),)
        await watch.look()
        await r.sql.execute("UPDATE remediator.actions SET ended_at = ended_at - interval '1 h'")
        await r.hasten()
        assert (await r.kinds()).count("alert.reopened") == 1
        assert len(r.writes()) == 2
        # The end that was told before is told once more, and does not end it; the next one does.
        await age(r)
        old = await r.sql.fetchval("SELECT min(ends_at) FROM remediator.signals WHERE status = 'resolved'")
        await r.deliver(structs.replace(over(fires), ends_at=old))
        await r.settle()
        assert await r.sql.fetchval("SELECT status FROM remediator.alerts") == "firing"
        await r.deliver(over(fires))
        await r.settle()
        assert await r.sql.fetchval("SELECT status FROM remediator.alerts") == "resolved"


async def test_a_truncated_notification_makes_us_ask(database: str) -> None:
    """Before it is due."""
    peers = Peers(has=(seen(alert()),))
    async with rig(database) as r, watching(r, database, peers) as watch:
        await watch.stage.step()
        assert await r.sql.fetchval("SELECT turn FROM remediator.duties WHERE name = 'lookout'") == 1
        await watch.stage.step()
        assert await r.sql.fetchval("SELECT turn FROM remediator.duties WHERE name = 'lookout'") == 1
        await r.deliver(truncated=3)
        await watch.stage.step()
        assert await r.sql.fetchval("SELECT turn FROM remediator.duties WHERE name = 'lookout'") == 2


async def test_a_silence_holds_and_ends(database: str) -> None:
    """Held with the reason and asked about again in vain; when it is over, acted on."""
    fires = alert()
    quiet = seen(fires, disposition=Disposition.SILENCED, by=("5e1f",))
    peers = Peers(has=(quiet,))
    async with rig(database) as r, watching(r, database, peers) as watch:
        r.put(deployment())
        for _ in range(2):
            await watch.look()
            await r.hasten()
        (held,) = await r.rows("SELECT reasons, summary FROM remediator.ledger WHERE kind = 'decision.hold'")
        assert held["reasons"] == ["silenced"]
        assert "5e1f" in held["summary"]
        assert (r.writes(), r.people.heard) == ([], [])
        assert await r.sql.fetchval("SELECT count(*) FROM remediator.incidents") == 0
        peers.has = (seen(fires),)
        await watch.look()
        assert len(r.writes()) == 1


async def test_no_clock_runs_against_people_for_what_they_have_silenced(database: str) -> None:
    """The incident stays open and nobody is called; when the silence is over, somebody is."""
    fires = alert()
    peers = Peers(has=(seen(fires, disposition=Disposition.SILENCED, by=("5e1f",)),))
    async with rig(database) as r, watching(r, database, peers) as watch:
        r.put(deployment())
        await r.deliver(fires)
        await r.settle()
        await watch.look()
        await r.sql.execute("UPDATE remediator.incidents SET opened_at = opened_at - interval '1 h'")
        await r.hasten()
        assert "incident.escalated" not in await r.kinds()
        peers.has = (seen(fires),)
        await watch.look()
        await r.hasten()
        assert "incident.escalated" in await r.kinds()


async def test_a_silenced_alert_without_a_rule_is_nobodys(database: str) -> None:
    """It is not even recorded; one that is not silenced is."""
    strange = structs.replace(alert(), labels={"alertname": "Unknown"})
    peers = Peers(has=(seen(strange, disposition=Disposition.INHIBITED, by=("77",)),))
    async with rig(database) as r, watching(r, database, peers) as watch:
        await watch.look()
        assert await r.kinds() == []
        peers.has = (seen(strange),)
        await watch.look()
        assert await r.kinds() == ["signal.unmatched"]


async def test_what_was_seen_before_another_took_over_is_not_told(database: str) -> None:
    """The turn's lease ends while Alertmanager is slow, and another replica asks."""
    peers = Peers(has=(seen(alert()),))
    async with rig(database) as r, watching(r, database, peers) as watch:

        async def overtake() -> None:
            await r.sql.execute("UPDATE remediator.duties SET turn = turn + 1, owner = 'another'")

        peers.meanwhile = overtake
        await watch.look()
        assert await r.kinds() == []
        assert "overtaken" in r.ear.outcomes("reconcile")


class Jumping(SystemClock):
    """A clock of a process that was stopped for a while."""

    ahead = 0.0

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return super().monotonic() + self.ahead


async def test_what_was_seen_before_a_long_stop_is_not_told(database: str) -> None:
    """The process was stopped between question and use: the lease may still be ours, the news is old."""
    peers = Peers(has=(seen(alert()),))
    clock = Jumping()
    async with rig(database) as r, watching(r, database, peers, clock=clock) as watch:

        async def stop() -> None:
            clock.ahead += 50.0

        peers.meanwhile = stop
        await watch.look()
        assert await r.kinds() == []
        peers.meanwhile = None
        await watch.look()
        assert "alert.firing" in await r.kinds()


async def test_nobody_answers(database: str) -> None:
    """Told once when it begins and once when it ends; asked again soon; and nothing follows from it."""
    fires = alert()
    peers = Peers(has=(seen(fires),))
    async with rig(database) as r, watching(r, database, peers) as watch:
        r.put(deployment())
        await watch.look()
        peers.problem = "timeout: no answer"
        for _ in range(3):
            await watch.look()
        wait = await r.sql.fetchval(
            "SELECT extract(epoch FROM due_at - now())::float8 FROM remediator.duties WHERE name = 'lookout'"
        )
        assert wait < 20
        peers.problem = ""
        await watch.look()
        words = [one for one in r.ear.outcomes("reconcile") if one in ("unheard", "heard")]
        assert words == ["unheard", "heard"]
        assert "alert.resolved" not in await r.kinds()


class Full:
    """An inbox that is full until it is told otherwise."""

    def __init__(self, inner: Any) -> None:
        """Stand before the real one."""
        self.inner, self.full = inner, True

    async def accept(self, delivery: Delivery) -> Receipt:
        """Refuse, or pass on."""
        if self.full:
            raise LedgerError("full", "too much waits", retryable=True)
        receipt: Receipt = await self.inner.accept(delivery)
        return receipt


async def test_a_full_inbox_gets_it_later(database: str) -> None:
    """The turn is not over, so it is taken again at once; nothing that was found is lost."""
    peers = Peers(has=(seen(alert()),))
    async with rig(database) as r, watching(r, database, peers) as watch:
        full = Full(r.inbox)
        watch.stage.lookout = type(watch.stage.lookout)(
            **{**{name: getattr(watch.stage.lookout, name) for name in watch.stage.lookout.__slots__}, "inbox": full}
        )
        with pytest.raises(LedgerError):
            await watch.stage.step()
        full.full = False
        await watch.stage.step()
        await r.settle()
        assert "alert.firing" in await r.kinds()


def episode(**changes: Any) -> Episode:
    """Return an episode of a minute, two minutes ago."""
    labels = {"alertname": "BackstageDown", "namespace": "backstage", "deployment": "backstage"}
    plain = Episode(fingerprint=alert().fingerprint, labels=labels, began_at=ago(180), ended_at=ago(120), over=True)
    return structs.replace(plain, **changes)


async def test_what_came_and_went_while_nobody_listened(database: str) -> None:
    """Its incident is there, resolved, with its entry; people get one message; nothing is done, late news included."""
    memory = Memory(episodes_=(episode(), episode(labels={"alertname": "Unknown"}, fingerprint="1" * 16)))
    async with rig(database) as r, watching(r, database, Peers(), memory) as watch:
        r.put(deployment())
        await watch.away(300)
        for _ in range(2):
            await watch.look()
        await r.hasten()
        assert (await r.kinds()).count("alert.missed") == 2
        (incident,) = await r.rows(
            "SELECT state, rule, severity, resolved_at < now() AS past FROM remediator.incidents"
        )
        assert tuple(incident) == ("resolved", "service-unavailable", "P1", True)
        (told,) = r.people.heard
        assert "2 alerts fired and ended" in told["message"]
        assert len(memory.asked) == 1
        # A notification of it that was held up on the way.
        await r.deliver(alert(starts_at=episode().began_at))
        await r.settle()
        assert "signal.late" in await r.kinds()
        assert r.writes() == []


async def test_what_was_heard_of_is_not_missed(database: str) -> None:
    """It fired before the gap, or was told after it."""
    memory = Memory(episodes_=(episode(),))
    async with rig(database) as r, watching(r, database, Peers(), memory) as watch:
        r.put(deployment())
        await r.deliver(alert(starts_at=ago(175)))
        await r.settle()
        await watch.away(300)
        await watch.look()
        assert "alert.missed" not in await r.kinds()
        assert await r.sql.fetchval("SELECT count(*) FROM remediator.gaps WHERE settled_at IS NOT NULL") == 1


async def test_a_history_that_cannot_be_had_is_asked_for_again(database: str) -> None:
    """And Alertmanager is asked all the same."""
    memory = Memory(episodes_=(episode(),), failing=MonitoringError("timeout", "no answer", retryable=True))
    peers = Peers(has=(seen(structs.replace(alert(), labels={"alertname": "Unknown"})),))
    async with rig(database) as r, watching(r, database, peers, memory) as watch:
        await watch.away(300)
        await watch.look()
        assert await r.kinds() == ["signal.unmatched"]
        assert "history_unknown" in r.ear.outcomes("reconcile")
        memory.failing = None
        await watch.look()
        assert "alert.missed" not in await r.kinds()
        await r.sql.execute("UPDATE remediator.gaps SET due_at = now()")
        await watch.look()
        assert "alert.missed" in await r.kinds()


async def test_only_the_last_day_of_a_long_absence_is_looked_at(database: str) -> None:
    """Prometheus is not asked for months."""
    memory = Memory()
    async with rig(database) as r, watching(r, database, None, memory) as watch:
        await watch.away(90 * 86400)
        await watch.look()
        ((begin, end),) = memory.asked
        assert (end - begin).total_seconds() == pytest.approx(86400)
