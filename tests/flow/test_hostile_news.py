"""The last proof: what was true when it was decided, and is not any more when the write is about to be sent."""

from __future__ import annotations

from typing import Any

import pytest

from remediator.flow.parts import Bounds, Parts, Stores
from remediator.model.action import BeforeImage
from remediator.model.entry import NewEntry
from remediator.model.plan import CaptureEvidence
from remediator.model.signal import Status
from remediator.ports.actions import ActionStore
from remediator.ports.cluster import EvidenceBundle
from tests.flow.rig import a_rule, alert, deployment, rig
from tests.flow.test_doubt import Fault, abandon
from tests.flow.test_flow import step

QUICK = Bounds(poll_s=0.05, facts_deadline_s=5.0, doubt_s=1.5, write_tries=3)


@pytest.mark.parametrize("news", ["healed", "old"])
async def test_an_unsent_write_of_a_dead_owner_is_not_sent_when_its_moment_has_passed(database: str, news: str) -> None:
    """Dispatched, never stored, and the daemon away for hours: the alert has ended, or the decision is stale."""
    async with rig(database, bounds=QUICK) as r:
        before = r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        await abandon(r, "dispatched", before)
        if news == "healed":
            await r.deliver(alert(status=Status.RESOLVED))
            await step(r, "match")
        await r.sql.execute("UPDATE remediator.actions SET good_until = now() - interval '3 h'")
        await step(r, "execute")
        assert r.writes() == []
        assert (await r.states())[0] == "expired"


class Slow:
    """Evidence that takes its time: something happens meanwhile."""

    def __init__(self) -> None:
        """Nothing happens yet."""
        self.meanwhile: Any = None

    async def capture(self, step: CaptureEvidence) -> EvidenceBundle:
        """Let it happen, and see nothing."""
        await self.meanwhile()
        return EvidenceBundle(parts={"pods": [step.target.name]})


@pytest.mark.parametrize("news", ["healed", "old"])
async def test_what_ends_while_evidence_is_captured_is_not_acted_on(database: str, news: str) -> None:
    """Evidence may take ten seconds; the alert can end, or the decision grow stale, in less."""
    slow = Slow()

    def dress(parts: Parts) -> Parts:
        return Parts(**{**fields(parts), "cluster": type(parts.cluster)(**{**fields(parts.cluster), "evidence": slow})})

    async with rig(database, a_rule(evidence=True), bounds=QUICK, dress=dress) as r:
        r.put(deployment())

        async def meanwhile() -> None:
            if news == "healed":
                await r.deliver(alert(status=Status.RESOLVED))
                await r.line.lanes[0].step()
            else:
                await r.sql.execute(
                    "SELECT pg_sleep_until(good_until + interval '10 milliseconds') FROM remediator.actions"
                )

        slow.meanwhile = meanwhile
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        await r.sql.execute(
            "UPDATE remediator.actions SET good_until = clock_timestamp() + interval '400 milliseconds'"
        )
        await step(r, "execute")
        assert r.writes() == []
        assert (await r.states())[0] == "expired"


class Flicker:
    """An action store under which the alert is silent in the moment of the first intent."""

    def __init__(self, store: ActionStore) -> None:
        """Stand before the real one."""
        self.store = store
        self.silence: Any = None
        self.noise: Any = None

    def __getattr__(self, name: str) -> Any:
        """Be the real one."""
        return getattr(self.store, name)

    async def dispatched(self, number: int, fence: int, before: BeforeImage, entry: NewEntry) -> bool:
        """Let the alert end, once; write the intent; let the alert begin again if it is to."""
        silence, self.silence = self.silence, None
        if silence is not None:
            await silence()
        told = await self.store.dispatched(number, fence, before, entry)
        if silence is not None and self.noise is not None:
            await self.noise()
        return told


@pytest.mark.parametrize("again", [False, True])
async def test_what_ends_between_the_read_and_the_write_is_not_written(database: str, again: bool) -> None:
    """The intent is the last proof: it cannot be written for a silent alert. One that fires again is acted on, once."""
    made: list[Flicker] = []

    def dress(parts: Parts) -> Parts:
        made.append(Flicker(parts.stores.actions))
        return Parts(**{**fields(parts), "stores": Stores(**{**fields(parts.stores), "actions": made[0]})})

    async with rig(database, bounds=QUICK, dress=dress) as r:
        r.put(deployment())

        async def silence() -> None:
            await r.sql.execute("UPDATE remediator.alerts SET status = 'resolved'")

        async def noise() -> None:
            await r.sql.execute("UPDATE remediator.alerts SET status = 'firing'")

        made[0].silence = silence
        made[0].noise = noise if again else None
        await r.deliver(alert())
        await r.settle()
        assert await r.states() == (["verifying"] if again else ["expired"])
        assert len(r.writes()) == int(again)
        assert (await r.kinds()).count("action.dispatched") == int(again)


async def test_a_throttled_write_is_not_called_a_conflict(database: str) -> None:
    """What is said at 3 a.m. is what happened: the API server was busy, the object held still."""
    async with rig(database, bounds=structs_replace(QUICK, write_tries=1)) as r:
        r.put(deployment())
        r.sandbox.middlewares.append(Fault("429", times=1000))
        await r.deliver(alert())
        await step(r, "match", "assess", "admit", "execute")
        (entry,) = [one for one in await r.entries() if one.kind == "action.refused"]
        assert entry.reasons == ("throttled",)
        assert "kept changing" not in entry.summary


async def test_a_fence_from_a_ledger_that_is_gone_says_what_to_do(database: str) -> None:
    """A ledger made anew counts fences from 1 again: it must not write, and people must learn how to go on."""
    async with rig(database, bounds=QUICK) as r:
        marked = deployment()
        marked["metadata"]["annotations"] = {"remediator.io/fence": "900"}
        r.put(marked)
        await r.deliver(alert())
        await r.settle()
        assert r.writes() == []
        assert "remediator.io/fence" in r.people.heard[0]["message"]


async def test_a_mark_that_the_ledger_does_not_know_says_what_to_do(database: str) -> None:
    """A standby that lagged took over: its fences go on above the object's, but what was done last is forgotten."""
    async with rig(database, bounds=QUICK) as r:
        marked = deployment()
        marked["metadata"]["annotations"] = {"remediator.io/fence": "0", "remediator.io/action": "f" * 40}
        r.put(marked)
        await r.deliver(alert())
        await r.settle()
        assert r.writes() == []
        assert await r.states() == ["refused"]
        assert "lost its end" in r.people.heard[0]["message"]
        assert "action.dispatched" not in await r.kinds()


def fields(parts: Any) -> dict[str, Any]:
    """Return the fields of a dataclass with slots."""
    return {name: getattr(parts, name) for name in parts.__dataclass_fields__}


def structs_replace(bounds: Bounds, **changes: Any) -> Bounds:
    """Return other bounds."""
    return Bounds(**{**fields(bounds), **changes})
