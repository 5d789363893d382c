"""An owner that is overtaken between its claim and its write: its fence in the ledger stops it, then the version."""

from __future__ import annotations

from aiohttp import web

from remediator.adapters.kubernetes.marks import FENCE
from remediator.model.plan import PatchObject
from remediator.ports.cluster import Applied, WriteMark
from remediator.sandbox.api import Proceed
from remediator.sandbox.calls import Call
from tests.flow.rig import Rig, alert, deployment, rig
from tests.flow.test_doubt import QUICK
from tests.flow.test_hostile_news import structs_replace


class Overtaker:
    """Another replica that takes the action over in the very moment of a request of its first owner."""

    def __init__(self, r: Rig, method: str) -> None:
        """Wait for the first such request while the action is somebody's."""
        self.r = r
        self.method = method
        self.done = False

    async def __call__(self, call: Call, proceed: Proceed) -> web.StreamResponse:
        """Let the lease end first, where this is the request."""
        if not self.done and call.method == self.method and "/deployments/" in call.path and await self._owned():
            self.done = True
            answer = await proceed() if self.method == "GET" else None
            await self._take_over()
            return answer or await proceed()
        return await proceed()

    async def _owned(self) -> bool:
        states = await self.r.states()
        return states in (["claimed"], ["dispatched"])

    async def _take_over(self) -> None:
        await self.r.sql.execute("UPDATE remediator.actions SET lease_until = now() - interval '1 second'")
        (claim,) = await self.r.parts.stores.actions.claim(10, "other", 90)
        if self.method == "PATCH":
            live = self.r.live()["metadata"]
            mark = WriteMark(
                action_id=claim.action.id,
                number=claim.action.number,
                fence=claim.action.fence,
                uid=live["uid"],
                resource_version=live["resourceVersion"],
            )
            (step,) = claim.action.plan.steps
            assert isinstance(step, PatchObject)
            assert isinstance(await self.r.parts.cluster.writer.patch(step, mark), Applied)


async def test_who_is_overtaken_before_its_intent_sends_nothing(database: str) -> None:
    """It cannot write down that it is about to send, so it does not send."""
    async with rig(database, bounds=structs_replace(QUICK, read_again_s=0.0)) as r:
        r.put(deployment())
        overtaker = Overtaker(r, "GET")
        r.sandbox.middlewares.append(overtaker)
        await r.deliver(alert())
        await r.settle()
        assert overtaker.done
        assert r.sandbox.requests.writes() == []
        assert "action.dispatched" not in await r.kinds()
        (row,) = await r.rows("SELECT state, owner, attempts FROM remediator.actions")
        assert tuple(row) == ("claimed", "other", 2)


async def test_who_is_overtaken_after_its_intent_is_refused_for_the_version(database: str) -> None:
    """The other's write has changed the version that the late one is based on; it is not tried again."""
    async with rig(database, bounds=QUICK) as r:
        r.put(deployment())
        overtaker = Overtaker(r, "PATCH")
        r.sandbox.middlewares.append(overtaker)
        await r.deliver(alert())
        await r.settle()
        assert overtaker.done
        assert sorted(write.status for write in r.sandbox.requests.writes()) == [200, 409]
        (row,) = await r.rows("SELECT fence, owner FROM remediator.actions")
        assert (r.live()["metadata"]["annotations"][FENCE], row["owner"]) == (str(row["fence"]), "other")
        assert r.live()["metadata"]["generation"] == 2
        assert (await r.kinds()).count("action.applied") == 0, "what it wrote is for the other to find"
