"""The kill switch: nothing is begun and nothing is written while it is pulled, at whichever moment that was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remediator.adapters.ledger.pauses import LedgerPauseStore
from remediator.adapters.ledger.pool import open_pools
from remediator.adapters.pause_file import FilePause
from remediator.flow.parts import Parts
from remediator.model.freeze import Freeze
from remediator.model.pause import PauseScope
from tests.flow.rig import Rig, a_rule, alert, deployment, rig
from tests.flow.test_flow import step
from tests.flow.test_hostile_news import Slow, fields

SCOPES = [
    (PauseScope.GLOBAL, ""),
    (PauseScope.NAMESPACE, "backstage"),
    (PauseScope.RULE, "service-unavailable"),
    (PauseScope.TARGET, "deployment/backstage/backstage"),
]


async def pause(
    database: str, scope: PauseScope = PauseScope.GLOBAL, key: str = "", seconds: float | None = None
) -> int:
    """Pull the switch as the command does, on a connection of its own; return the pause's number."""
    async with open_pools(database) as pools:
        made = await LedgerPauseStore(pools.stages).pause(scope, key, reason="test", actor="ann", seconds=seconds)
    return made.number


async def resume(database: str, number: int) -> None:
    """Let it go."""
    async with open_pools(database) as pools:
        assert [one.number for one in await LedgerPauseStore(pools.stages).resume_one(number, actor="bob")] == [number]


async def reasons(r: Rig) -> list[str]:
    """Return the reasons of all entries, in order."""
    return [reason for entry in await r.entries() for reason in entry.reasons]


@pytest.mark.parametrize(("scope", "key"), SCOPES)
async def test_a_pause_before_the_decision_holds_it(database: str, scope: PauseScope, key: str) -> None:
    """Held with who and why; when it is resumed, it is decided anew at once."""
    async with rig(database) as r:
        number = await pause(database, scope, key)
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        assert (await r.states(), r.writes()) == ([], [])
        assert await reasons(r) == ["paused"]
        await resume(database, number)
        await r.settle()
        assert len(r.writes()) == 1
    assert {"changes.paused", "changes.resumed"} <= set(await r_kinds(database))


async def r_kinds(database: str) -> list[str]:
    """Return the kinds of the ledger's entries."""
    async with rig(database) as r:
        return await r.kinds()


@pytest.mark.parametrize(("scope", "key"), SCOPES)
async def test_a_pause_after_the_admission_is_read_at_the_claim(database: str, scope: PauseScope, key: str) -> None:
    """What was admitted waits; it is carried out when the pause is lifted in time, and is old news later."""
    async with rig(database) as r:
        r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        number = await pause(database, scope, key)
        await r.settle()
        assert (await r.states(), r.writes()) == (["admitted"], [])
        await resume(database, number)
        await r.settle()
        assert (await r.states(), len(r.writes())) == (["verifying"], 1)


async def test_a_paused_action_that_is_too_old_ends(database: str) -> None:
    """It does not hold its target for as long as somebody forgets the pause."""
    async with rig(database) as r:
        r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        await pause(database)
        await r.rows("UPDATE remediator.actions SET good_until = now() - interval '1 second'")
        await r.settle()
        assert (await r.states(), r.writes()) == (["expired"], [])


@pytest.mark.parametrize(("scope", "key"), SCOPES)
async def test_a_pause_after_the_claim_is_read_before_the_write(database: str, scope: PauseScope, key: str) -> None:
    """Evidence takes seconds: the switch is looked at in the very statement that writes the intent down."""
    slow = Slow()

    async def meanwhile() -> None:
        await pause(database, scope, key)

    def dress(parts: Parts) -> Parts:
        return Parts(**{**fields(parts), "cluster": type(parts.cluster)(**{**fields(parts.cluster), "evidence": slow})})

    slow.meanwhile = meanwhile
    async with rig(database, a_rule(evidence=True), dress=dress) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        assert (await r.states(), r.writes()) == (["refused"], [])
        assert "paused" in await reasons(r)


async def test_another_scope_stops_nothing_here(database: str) -> None:
    """Names are compared whole, and an expired pause is none."""
    async with rig(database) as r:
        await pause(database, PauseScope.NAMESPACE, "back")
        await pause(database, PauseScope.RULE, "service")
        await pause(database, PauseScope.TARGET, "deployment/backstage/other")
        await pause(database, seconds=60)
        await r.rows("UPDATE remediator.pauses SET until = now() WHERE until IS NOT NULL")
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        assert len(r.writes()) == 1


@pytest.mark.parametrize("moment", ["before the decision", "before the write"])
async def test_the_file_stops_this_replica(database: str, tmp_path: Path, moment: str) -> None:
    """It needs no database: the replica looks at it when it decides and when it writes."""
    place = tmp_path / "paused"

    def dress(parts: Parts) -> Parts:
        return Parts(**{**fields(parts), "pause_file": FilePause(place)})

    async with rig(database, dress=dress) as r:
        r.put(deployment())
        await r.deliver(alert())
        if moment == "before the write":
            await step(r, "match", "assess", "admit")
        place.write_text("no changes tonight")
        await r.settle()
        assert r.writes() == []
        assert "paused" in await reasons(r)
        place.unlink()
        await r.hasten()
        assert len(r.writes()) == 1


async def test_a_freeze_that_begins_before_the_write(database: str) -> None:
    """Freezes of the rule files are looked at when it is decided and again when it is written."""
    always: dict[str, Any] = {"cron": "* * * * *", "length_s": 3600}
    async with rig(database) as r:
        r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        r.rules.freezes = (Freeze(name="release", **always),)
        await r.settle()
        assert (await r.states(), r.writes()) == (["refused"], [])
        r.rules.freezes = (Freeze(name="elsewhere", namespaces=("far",), **always),)
        await r.hasten()
        assert len(r.writes()) == 1
