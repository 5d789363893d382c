"""The threshold table polled: series take the way of every alert, unknown does nothing, and restarts forget nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from remediator.flow.bells import Bells
from remediator.flow.poll import Poll
from remediator.model.measure import Answer, Phase, Unseen
from remediator.model.rule import Matcher, MatchOp, RateLimit, Recovery, Rung, Threshold
from remediator.ports.measuring import Query
from tests.flow.measured import ROW, SIGNS, Measured, Says, T, a_row, measured
from tests.flow.rig import ROOMY, deployment
from tests.flow.test_undo import whole

SLOW = Threshold(expr="sum by (x) (y)", unit="percent", warning=70, critical=85, for_s=30, recover_below=65)


async def kinds(m: Measured) -> list[str]:
    """Return the kinds of the ledger entries, in order."""
    return await m.r.kinds()


async def test_over_the_threshold_and_back(database: str) -> None:
    """A warning acts once, a rise is the same incident, and below the value of recovery it ends."""
    async with measured(database, a_row(threshold=structs.replace(SLOW, for_s=0))) as m:
        m.r.put(deployment())
        for value in (10.0, 71.0, 91.0, 67.0, 60.0):
            m.says.values = {"backstage": value}
            await m.tick()
            m.r.rolled_out()
        await m.r.hasten()
        assert len(m.r.writes()) == 1
        assert await m.r.sql.fetchval("SELECT count(*) FROM remediator.incidents") == 1
        words = [entry.summary for entry in await m.r.entries() if entry.kind.startswith("alert.")]
        assert words == [
            "cpu-usage of backstage/backstage fires: warning for 0 s: 71 % (warning from 70 %, critical from 85 %)",
            "cpu-usage of backstage/backstage fires on: critical for 0 s: 91 % (warning from 70 %, critical from 85 %)",
            "cpu-usage of backstage/backstage fires on: warning for 0 s: 67 % (warning from 70 %, critical from 85 %)",
            "cpu-usage of backstage/backstage is over: 60 %, below 65 % for 0 s",
        ]
        assert (await kinds(m))[-1] == "incident.resolved"
        told = [one.summary for one in await m.r.entries() if one.kind.value == "action.verified"]
        assert told[0].endswith(" after restart (rung 0)")
        turned = [one for one in m.r.ear.outcomes("poll") if one != "polled"]
        assert turned == ["fires", "rises", "eases", "ends"]


async def test_all_rows_are_asked_for_one_moment(database: str) -> None:
    """And Prometheus itself is asked first whether it is to be believed."""
    other = a_row(name="memory-usage", threshold=structs.replace(SLOW, expr="up"))
    async with measured(database, a_row(), other) as m:
        m.says.values = {"backstage": 10.0}
        await m.tick()
        assert {one.expr.partition("(")[0] for one in m.says.asked} == {"label_replace", "sum by ", "up"}
        assert len({one.at for one in m.says.asked}) == 1
        assert [one.dated for one in m.says.asked if one.expr == "up"] == [True]


async def test_unknown_does_nothing_until_people_are_told_once(database: str) -> None:
    """Prometheus is gone: no signal, no end, one message; and seen again, it goes on where it was."""
    async with measured(database) as m:
        m.r.put(deployment())
        m.says.values = {"backstage": 75.0}
        await m.tick()
        before = await kinds(m)
        m.says.problem = Unseen.UNREACHABLE
        await m.tick()
        await m.tick(passed_s=300)
        assert await kinds(m) == before
        assert m.r.people.heard == []
        await m.tick(passed_s=301)
        await m.tick(passed_s=300)
        (heard,) = m.r.people.heard
        assert heard["urgent"]
        assert "the row cpu-usage of the threshold table has been unknown for 10 min" in heard["message"]
        assert "unreachable: p:9090" in heard["message"]
        assert (await kinds(m)).count("monitoring.lost") == 1
        m.says.problem, m.says.values = None, {"backstage": 60.0}
        await m.tick()
        assert (await kinds(m)).count("monitoring.found") == 1
        assert (await kinds(m)).count("alert.resolved") == 1


async def test_a_prometheus_that_is_not_to_be_believed_sets_nothing_off(database: str) -> None:
    """It has been wiped, and says 99 percent."""
    async with measured(database) as m:
        m.says.values, m.says.signs = {"backstage": 99.0}, Unseen.FRESH
        await m.tick()
        assert await kinds(m) == []
        assert (await m.watch.store.load()).rows[0].unknown_why == "fresh"


async def test_a_restart_neither_forgets_nor_fires_early(database: str) -> None:
    """Pending for 20 seconds in one process, and for ten more in another."""
    async with measured(database, a_row(threshold=SLOW)) as m:
        m.says.values = {"backstage": 75.0}
        await m.tick()
        await m.tick(passed_s=20)
        assert (await m.watch.store.load()).series[0].phase is Phase.PENDING
        assert await kinds(m) == []
        await m.tick(passed_s=10)
        assert (await kinds(m))[0] == "alert.firing"


async def test_a_tick_that_was_overtaken_says_nothing(database: str) -> None:
    """Another replica became the poller while Prometheus was thinking."""
    async with measured(database) as m:

        class Slow(Says):
            async def ask(self, query: Query, work: Callable[[Answer], T]) -> T:
                if query.expr == SIGNS:
                    await m.r.sql.execute("UPDATE remediator.duties SET owner = 'another' WHERE name = 'poller'")
                return await super().ask(query, work)

        m.watch = replace(m.watch, prometheus=Slow(values={"backstage": 99.0}))
        m.poll = Poll(m.r.parts, m.poll.bells, m.watch)
        await m.tick()
        assert await kinds(m) == []
        assert m.r.ear.outcomes("poll") == ["overtaken"]


async def test_questions_that_take_too_long_are_given_up_while_the_lease_holds(database: str) -> None:
    """The row is unknown; the tick is stored."""
    async with measured(database) as m:

        class Slow(Says):
            async def ask(self, query: Query, work: Callable[[Answer], T]) -> T:
                if query.expr != SIGNS:
                    await asyncio.Event().wait()
                return await super().ask(query, work)

        m.watch = replace(m.watch, prometheus=Slow(), ask_s=0.05)
        m.poll = Poll(m.r.parts, m.poll.bells, m.watch)
        await m.tick()
        (row,) = (await m.watch.store.load()).rows
        assert row.unknown_why == "timeout: no answers within 0.05 s"


async def test_two_replicas_poll_in_turn_and_follow_each_other(database: str) -> None:
    """One polls; when it gives no sign of life any more, the other goes on from what it left."""
    async with measured(database, a_row(threshold=SLOW)) as m:
        m.says.values = {"backstage": 75.0}
        other = Poll(replace(m.r.parts, owner="other"), Bells(), m.watch)
        async with asyncio.TaskGroup() as replicas:
            replicas.create_task(m.poll.step())
            replicas.create_task(other.step())
        first, second = (m.poll, other) if m.poll.polling else (other, m.poll)
        await m.r.sql.execute(
            """UPDATE remediator.duties SET lease_until = lease_until - interval '9 s',
                      due_at = due_at - interval '40 s' WHERE name = 'poller'"""
        )
        await second.step()
        await first.step()
        assert [one.polling for one in (first, second)] == [False, True]
        assert m.r.ear.outcomes("poll") == ["polled", "polled", "rests"]


async def test_what_another_replica_has_seen_counts(database: str) -> None:
    """It saw the measure below its threshold: whoever polled before begins anew, and not with what it remembers."""
    async with measured(database, a_row(threshold=SLOW)) as m:
        other = Poll(replace(m.r.parts, owner="other"), Bells(), m.watch)
        due = "UPDATE remediator.duties SET due_at = now(), owner = $1 WHERE name = 'poller'"
        for poll, value in ((m.poll, 75.0), (other, 10.0), (m.poll, 75.0)):
            m.says.values = {"backstage": value}
            await m.r.sql.execute(due, poll.parts.owner)
            await poll.step()
        (state,) = (await m.watch.store.load()).series
        assert (state.phase, state.over_s) == (Phase.PENDING, 0.0)


async def test_a_row_that_is_gone_ends_its_alerts(database: str) -> None:
    """Else its incident would stay open for ever."""
    async with measured(database) as m:
        m.r.put(deployment())
        m.says.values = {"backstage": 75.0}
        await m.tick()
        m.r.rules.rules, m.r.rules.digest = (), "another"
        await m.tick()
        assert (await kinds(m)).count("alert.resolved") == 1
        assert (await m.watch.store.load()).series == ()


async def test_a_rule_for_critical_alone_waits_for_the_rise(database: str) -> None:
    """A warning is none of its business; the rise asks it, and the row's own rule not once more."""
    critical = Matcher(label="severity", op=MatchOp.EQUAL, value="critical")
    paging = structs.replace(a_row(), name="pages", threshold=None, match=(*a_row().match, critical))
    async with measured(database, a_row(), paging) as m:
        m.r.put(deployment())
        m.says.values = {"backstage": 75.0}
        await m.tick()
        seen = "SELECT rule FROM remediator.candidates ORDER BY id"
        assert [row["rule"] for row in await m.r.rows(seen)] == [ROW]
        m.says.values = {"backstage": 95.0}
        await m.tick()
        assert [row["rule"] for row in await m.r.rows(seen)] == [ROW, "pages"]


async def test_series_of_others_are_none_of_ours(database: str) -> None:
    """What the row's own rule would not take is neither remembered nor missed."""
    mine = Matcher(label="deployment", op=MatchOp.EQUAL, value="backstage")
    async with measured(database, a_row(match=(*a_row().match, mine))) as m:
        m.says.values = {"backstage": 10.0, "other": 99.0}
        await m.tick()
        assert [one.labels["deployment"] for one in (await m.watch.store.load()).series] == ["backstage"]
        assert await kinds(m) == []


async def verdicts(m: Measured) -> list[dict[str, Any]]:
    """Return the data of the verdicts, in order."""
    return [entry.data for entry in await m.r.entries() if entry.kind == "action.verified"]


async def test_recovery_is_proven_by_the_measure(database: str) -> None:
    """Rolled out at once, and above all the while: no verdict. Back inside for long enough: recovered, and by what."""
    row = a_row(threshold=structs.replace(SLOW, for_s=0), recover=Recovery(for_s=30, within_s=600))
    async with measured(database, row) as m:
        m.r.put(deployment())
        m.says.values = {"backstage": 75.0}
        await m.tick()
        m.r.rolled_out()
        await m.r.hasten()
        m.says.values = {"backstage": 60.0}
        await m.tick(passed_s=15)
        await m.tick(passed_s=20)
        await m.r.hasten()
        assert await verdicts(m) == []
        await m.r.sql.execute("UPDATE remediator.actions SET applied_at = applied_at - interval '60 s'")
        await m.tick(passed_s=20)
        await m.r.hasten()
        (verdict,) = await verdicts(m)
        assert (verdict["verdict"], verdict["rung"], verdict["remedy"]) == ("recovered", 0, "restart")
        assert verdict["measures"] == [{"row": ROW, "phase": "ok", "level": None, "value": 60.0}]
        assert verdict["seconds"] >= 60
        assert await m.r.states() == ["recovered"]
        assert (await kinds(m))[-1] == "incident.resolved"


async def test_a_measure_that_is_not_seen_is_no_recovery(database: str) -> None:
    """Nobody knows, so people are called at the deadline; nothing more is tried."""
    row = a_row(ladder=(*a_row().ladder, *a_row().ladder))
    async with measured(database, row) as m:
        m.r.put(deployment())
        m.says.values = {"backstage": 75.0}
        await m.tick()
        m.r.rolled_out()
        m.says.problem = Unseen.TIMEOUT
        await m.tick()
        await m.r.sql.execute("UPDATE remediator.actions SET applied_at = applied_at - interval '601 s'")
        await m.r.hasten()
        assert await m.r.states() == ["unknown"]
        assert (await kinds(m)).count("incident.escalated") == 1
        assert len(m.r.writes()) == 1


async def test_what_becomes_critical_takes_the_next_rung_early(database: str) -> None:
    """When half of the time is over and it still is, not at the deadline; before that the measure is given time."""
    row = a_row(ladder=(Rung(action="scale", parameters={"step": 1, "max": 10}), *a_row().ladder))
    async with measured(database, row) as m:
        m.r.put(deployment())
        m.says.values = {"backstage": 75.0}
        await m.tick()
        m.r.rolled_out()
        m.says.values = {"backstage": 95.0}
        await m.tick()
        await m.r.hasten()
        assert await verdicts(m) == []
        await m.r.sql.execute("UPDATE remediator.actions SET applied_at = applied_at - interval '301 s'")
        await m.r.hasten()
        assert [one["verdict"] for one in await verdicts(m)] == ["worse"]
        assert m.r.live()["spec"]["replicas"] == 4, "capacity is not taken away when it is needed most"
        assert (await m.r.states())[0] == "worse"
        assert len(await m.r.states()) == 2


async def test_a_scale_that_does_harm_is_taken_back_at_once(database: str) -> None:
    """Its rollout is stuck: the wish to undo it is the daemon's own, and goes the way of every other."""
    row = a_row(ladder=(Rung(action="scale", parameters={"step": 1, "max": 10}),))
    async with measured(database, row) as m:
        m.r.put(whole())
        m.says.values = {"backstage": 75.0}
        await m.tick()
        assert m.r.live()["spec"]["replicas"] == 4
        gave_up = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
        m.r.rolled_out(updatedReplicas=3, readyReplicas=3, availableReplicas=3, conditions=gave_up)
        await m.r.hasten()
        await m.r.hasten()
        assert (await m.r.states())[0] == "worse"
        assert "undo.asked" in await kinds(m)
        assert m.r.live()["spec"]["replicas"] == 3


@pytest.mark.slow
async def test_five_thousand_series_at_once_are_a_storm(database: str) -> None:
    """They all fire in one tick; the guards see one storm, and next to nothing is done."""
    storm = structs.replace(ROOMY, storm=RateLimit(count=10, window_s=120))
    async with measured(database, policy=storm) as m:
        for number in range(5):
            m.r.put(deployment(f"app-{number}"))
        m.says.values = {f"app-{number}": 99.0 for number in range(5000)}
        await m.tick(settle=False)
        assert await m.r.sql.fetchval("SELECT count(*) FROM remediator.inbox") == 5000
        for _ in range(40):
            await m.r.line.lanes[0].step()
        for lane in m.r.line.lanes[1:4] * 10:
            await lane.step()
        candidates = await m.r.sql.fetchval("SELECT count(*) FROM remediator.candidates")
        assert candidates == 5000
        assert len(m.r.writes()) < 10
