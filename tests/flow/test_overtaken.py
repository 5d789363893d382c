"""An owner that is overtaken between its claim and its write: its fence in the ledger stops it, then the version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import asyncpg
import msgspec
from aiohttp import web

from remediator.adapters.kubernetes.marks import FENCE
from remediator.flow.parts import Parts
from remediator.model.action import BeforeImage
from remediator.model.entry import NewEntry
from remediator.model.plan import PatchObject, Plan
from remediator.ports.actions import ActionStore
from remediator.ports.cluster import Applied, WriteMark
from remediator.sandbox.api import Proceed
from remediator.sandbox.calls import Call
from tests.flow.rig import Rig, alert, deployment, rig
from tests.flow.test_doubt import QUICK


class Overtaken:
    """An action store whose caller is overtaken in the moment before it writes its intent down."""

    def __init__(self, inner: ActionStore) -> None:
        """Stand before the real one."""
        self.inner = inner
        self.rig: Rig | None = None

    def __getattr__(self, name: str) -> Any:
        """Pass everything else on."""
        return getattr(self.inner, name)

    async def dispatched(self, number: int, fence: int, before: BeforeImage, entry: NewEntry) -> bool:
        """Let another owner take over first."""
        assert self.rig is not None
        await take_over(self.rig)
        return await self.inner.dispatched(number, fence, before, entry)


async def take_over(r: Rig) -> asyncpg.Record:
    """Do what a claim by another replica does, in a moment in which the lease has ended; return the action."""
    (row,) = await r.rows(
        "UPDATE remediator.actions SET owner = 'other', fence = nextval('remediator.fences'), attempts = attempts + 1,"
        " lease_until = now() + interval '90 seconds' RETURNING id, number, fence, plan::text AS plan"
    )
    return row


async def test_who_is_overtaken_before_its_intent_sends_nothing(database: str) -> None:
    """It cannot write down that it is about to send, so it does not send."""
    overtaken: list[Overtaken] = []

    def dress(parts: Parts) -> Parts:
        overtaken.append(Overtaken(parts.stores.actions))
        return replace(parts, stores=replace(parts.stores, actions=cast("ActionStore", overtaken[0])))

    async with rig(database, bounds=QUICK, dress=dress) as r:
        overtaken[0].rig = r
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        assert r.sandbox.requests.writes() == []
        assert "action.dispatched" not in await r.kinds()
        (row,) = await r.rows("SELECT state, owner FROM remediator.actions")
        assert tuple(row) == ("claimed", "other")


async def test_who_is_overtaken_after_its_intent_is_refused_for_the_version(database: str) -> None:
    """The other's write has changed the version that the late one is based on; it is not tried again."""
    async with rig(database, bounds=QUICK) as r:
        others: list[asyncpg.Record] = []

        async def overtake(call: Call, proceed: Proceed) -> web.StreamResponse:
            if call.method == "PATCH" and not others:
                others.append(await take_over(r))
                await write(r, others[0])
            return await proceed()

        r.put(deployment())
        r.sandbox.middlewares.append(overtake)
        await r.deliver(alert())
        await r.settle()
        assert sorted(one.status for one in r.sandbox.requests.writes()) == [200, 409]
        (row,) = await r.rows("SELECT fence, owner FROM remediator.actions")
        assert (r.live()["metadata"]["annotations"][FENCE], row["owner"]) == (str(row["fence"]), "other")
        assert r.live()["metadata"]["generation"] == 2
        assert (await r.kinds()).count("action.applied") == 0, "what it wrote is for the other to find"


async def write(r: Rig, action: asyncpg.Record) -> None:
    """Send the action's write as its new owner."""
    live = r.live()["metadata"]
    mark = WriteMark(
        action_id=action["id"],
        number=action["number"],
        fence=action["fence"],
        uid=live["uid"],
        resource_version=live["resourceVersion"],
    )
    (step,) = msgspec.json.decode(action["plan"], type=Plan).steps
    assert isinstance(step, PatchObject)
    assert isinstance(await r.parts.cluster.writer.patch(step, mark), Applied)
