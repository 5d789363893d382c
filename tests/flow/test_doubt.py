"""Exactly one effect: lost answers, dead owners, conflicts and refusals around the one write."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from aiohttp import web

from remediator.adapters.ledger.pauses import LedgerPauseStore
from remediator.adapters.ledger.pool import open_pools
from remediator.flow.parts import Bounds
from remediator.model.entry import NewEntry
from remediator.model.pause import PauseScope
from remediator.model.target import Target
from remediator.sandbox.api import Proceed
from remediator.sandbox.calls import Call
from remediator.sandbox.resources import DEPLOYMENTS
from tests.flow.rig import Rig, alert, deployment, rig
from tests.flow.test_flow import step

QUICK = Bounds(poll_s=0.05, facts_deadline_s=5.0, doubt_s=1.5, write_tries=3)


class Fault:
    """Stands before the API and spoils PATCH requests, ``times`` times."""

    def __init__(self, kind: str, times: int = 1) -> None:
        """``swallow``: stored, then no answer. ``500``/``409``...: answered before anything is stored."""
        self.kind, self.left = kind, times
        self.seen = 0

    async def __call__(self, call: Call, proceed: Proceed) -> web.StreamResponse:
        """Handle one request."""
        if call.method != "PATCH":
            return await proceed()
        self.seen += 1
        if self.left <= 0:
            return await proceed()
        self.left -= 1
        if self.kind == "swallow":
            await proceed()
            assert call.http.transport is not None
            call.http.transport.close()
            return web.Response(status=500)
        return web.json_response(status_body(int(self.kind)), status=int(self.kind))


def status_body(code: int) -> dict[str, Any]:
    """Return a Status object for a refusal."""
    reasons = {409: "Conflict", 403: "Forbidden", 422: "Invalid", 429: "TooManyRequests"}
    body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return {**body, "message": f"made up {code}", "reason": reasons.get(code, "InternalError"), "code": code}


async def begin(r: Rig, fault: Fault) -> None:
    """Let BackstageDown fire before a spoilt API."""
    r.put(deployment())
    r.sandbox.middlewares.append(fault)
    await r.deliver(alert())
    await r.settle()


async def test_an_answer_that_is_lost_is_read_back(database: str) -> None:
    """The write was stored and nobody said so: the mark on the object proves it, and no second write is sent."""
    async with rig(database, bounds=QUICK) as r:
        fault = Fault("swallow")
        await begin(r, fault)
        assert fault.seen == 1
        assert await r.states() == ["verifying"]
        assert r.live()["metadata"]["generation"] == 2
        assert (await r.kinds())[-3:] == ["action.dispatched", "action.in_doubt", "action.applied"]


@pytest.mark.parametrize("code", ["500", "503", "504"])
async def test_an_unclear_no_is_sent_again_when_nothing_was_stored(database: str, code: str) -> None:
    """A server error says nothing about what was stored; the object says that nothing was."""
    async with rig(database, bounds=QUICK) as r:
        fault = Fault(code)
        await begin(r, fault)
        assert fault.seen == 2
        assert await r.states() == ["verifying"]
        assert r.live()["metadata"]["generation"] == 2


async def test_a_conflict_is_read_again(database: str) -> None:
    """Somebody else wrote in between: read, look, write on the new version."""
    async with rig(database, bounds=QUICK) as r:
        fault = Fault("409", times=2)
        await begin(r, fault)
        assert fault.seen == 3
        assert await r.states() == ["verifying"]


async def test_an_object_that_never_holds_still_goes_back_to_be_decided(database: str) -> None:
    """After three conflicts the rung is decided anew, three times, and then people are called."""
    async with rig(database, bounds=QUICK) as r:
        await begin(r, Fault("409", times=1000))
        for _ in range(3):
            await r.hasten()
        assert await r.states() == ["refused", "refused", "refused"]
        assert len(r.people.heard) == 1
        assert r.live()["metadata"]["generation"] == 1


@pytest.mark.parametrize("code", ["403", "422"])
async def test_a_clear_no_is_final(database: str, code: str) -> None:
    """It is not tried again, and people are told why."""
    async with rig(database, bounds=QUICK) as r:
        fault = Fault(code, times=1000)
        await begin(r, fault)
        assert fault.seen == 1
        assert await r.states() == ["refused"]
        assert "made up" in r.people.heard[0]["message"]


async def test_throttling_is_waited_for(database: str) -> None:
    """429 is refused before storage; the same write may be sent again."""
    async with rig(database, bounds=QUICK) as r:
        fault = Fault("429")
        await begin(r, fault)
        assert fault.seen == 2
        assert await r.states() == ["verifying"]


async def test_an_owner_that_died_before_its_write(database: str) -> None:
    """Claimed, lease over, nothing sent: the next owner does it, under a higher fence."""
    async with rig(database, bounds=QUICK) as r:
        r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        await abandon(r, "claimed")
        await r.settle()
        assert await r.states() == ["verifying"]
        (row,) = await r.rows("SELECT fence, attempts FROM remediator.actions")
        assert row["attempts"] == 2
        assert r.live()["metadata"]["annotations"]["remediator.io/fence"] == str(row["fence"])


async def test_an_owner_that_died_after_its_write(database: str) -> None:
    """Dispatched, stored, nothing recorded: the mark is found and no second rollout is begun."""
    async with rig(database, bounds=QUICK) as r:
        r.put(deployment())
        await r.deliver(alert())
        await r.settle()
        await abandon(r, "dispatched")
        await r.settle()
        assert await r.states() == ["verifying"]
        assert len(r.writes()) == 1
        assert (await r.kinds())[-1] == "action.applied"


async def test_an_owner_that_died_with_its_write_unsent(database: str) -> None:
    """Dispatched, never stored, the object as it was: the next owner sends it."""
    async with rig(database, bounds=QUICK) as r:
        before = r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        await abandon(r, "dispatched", before)
        await r.settle()
        assert await r.states() == ["verifying"]
        assert len(r.writes()) == 1


async def test_a_doubt_that_nobody_can_settle_goes_to_people(database: str) -> None:
    """Dispatched, no mark, and somebody has changed the object since: a second write might be a second effect."""
    async with rig(database, bounds=QUICK) as r:
        before = r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        await abandon(r, "dispatched", before)

        def third_party(obj: dict[str, Any]) -> dict[str, Any]:
            return {**obj, "spec": {**obj["spec"], "replicas": 4}}

        r.sandbox.store.mutate(DEPLOYMENTS, "backstage", "backstage", third_party)
        await r.settle()
        assert await r.states() == ["unknown"]
        assert r.writes() == []
        assert "cannot be known" in r.people.heard[0]["message"]


async def test_a_write_that_lands_while_it_is_read_back(database: str) -> None:
    """The dead owner's write was still on its way, and is stored between two reads: it is found, and no riddle."""
    async with rig(database, bounds=QUICK) as r:
        before = r.put(deployment())
        landed = False

        def land(obj: dict[str, Any]) -> dict[str, Any]:
            marks = {**obj["metadata"].get("annotations", {}), "remediator.io/action": identity}
            changed = {**obj, "metadata": {**obj["metadata"], "annotations": marks}}
            return {**changed, "spec": {**obj["spec"], "minReadySeconds": 1}}

        async def after_the_first_read(call: Call, proceed: Proceed) -> web.StreamResponse:
            nonlocal landed
            answer = await proceed()
            if call.method == "GET" and call.path.endswith("/deployments/backstage") and not landed:
                landed = True
                r.sandbox.store.mutate(DEPLOYMENTS, "backstage", "backstage", land)
            return answer

        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        await abandon(r, "dispatched", before)
        identity = (await r.rows("SELECT id FROM remediator.actions"))[0]["id"]
        r.sandbox.middlewares.append(after_the_first_read)
        await r.settle()
        assert landed
        assert await r.states() == ["verifying"]
        assert r.writes() == []


@pytest.mark.parametrize("ends_by", ["the last try", "a pause"])
async def test_a_write_that_lands_after_it_was_looked_for(database: str, ends_by: str) -> None:
    """Sent, held up, looked for in vain, and stored before the action is given up: it is found all the same."""
    bounds = replace(QUICK, write_tries=1 if ends_by == "the last try" else 3)
    async with rig(database, bounds=bounds) as r, open_pools(database) as pools:
        r.put(deployment())
        seen: list[str] = []

        def land(obj: dict[str, Any]) -> dict[str, Any]:
            marks = {**obj["metadata"].get("annotations", {}), "remediator.io/action": identity}
            return {**obj, "metadata": {**obj["metadata"], "annotations": marks}}

        async def hold_up(call: Call, proceed: Proceed) -> web.StreamResponse:
            if call.method == "PATCH":
                seen.append("sent")
                return web.json_response(status_body(500), status=500)
            answer = await proceed()
            if seen == ["sent"] and call.method == "GET" and call.path.endswith("/deployments/backstage"):
                seen.append("landed")
                r.sandbox.store.mutate(DEPLOYMENTS, "backstage", "backstage", land)
                if ends_by == "a pause":
                    store = LedgerPauseStore(pools.stages)
                    await store.pause(PauseScope.GLOBAL, "", reason="test", actor="ann", seconds=None)
            return answer

        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        identity = (await r.rows("SELECT id FROM remediator.actions"))[0]["id"]
        r.sandbox.middlewares.append(hold_up)
        await r.settle()
        assert seen == ["sent", "landed"]
        assert await r.states() == ["verifying"]


@pytest.mark.parametrize("ends_by", ["the last try", "a pause", "the end of its alert"])
async def test_a_write_that_may_yet_land_is_not_called_undone(database: str, ends_by: str) -> None:
    """Sent, no clear answer, and the object is of the version that it rests on: nobody knows, and people are called."""
    bounds = replace(QUICK, write_tries=1 if ends_by == "the last try" else 3)
    async with rig(database, bounds=bounds) as r, open_pools(database) as pools:
        firing = alert()

        async def hold_up(call: Call, proceed: Proceed) -> web.StreamResponse:
            if call.method != "PATCH":
                return await proceed()
            if ends_by == "a pause":
                store = LedgerPauseStore(pools.stages)
                await store.pause(PauseScope.GLOBAL, "", reason="test", actor="ann", seconds=None)
            if ends_by == "the end of its alert":
                await r.sql.execute("UPDATE remediator.alerts SET status = 'resolved', ends_at = now()")
            return web.json_response(status_body(504), status=504)

        r.put(deployment())
        r.sandbox.middlewares.append(hold_up)
        await r.deliver(firing)
        await r.settle()
        assert await r.states() == ["unknown"]
        assert "cannot be known" in r.people.heard[0]["message"]


async def test_a_write_that_can_land_no_more_is_called_undone(database: str) -> None:
    """Sent, no clear answer, and the object has a newer version without our mark, as a status makes one."""
    async with rig(database, bounds=replace(QUICK, write_tries=1)) as r:

        async def hold_up(call: Call, proceed: Proceed) -> web.StreamResponse:
            if call.method != "PATCH":
                return await proceed()
            r.sandbox.store.mutate(DEPLOYMENTS, "backstage", "backstage", annotate, counted=False)
            return web.json_response(status_body(504), status=504)

        def annotate(obj: dict[str, Any]) -> dict[str, Any]:
            count = str(len(r.sandbox.requests))
            return {**obj, "metadata": {**obj["metadata"], "annotations": {"somebody": count}}}

        r.put(deployment())
        r.sandbox.middlewares.append(hold_up)
        await r.deliver(alert())
        await r.settle()
        assert (await r.states())[0] == "refused"


async def test_nothing_is_sent_again_to_what_has_moved_since(database: str) -> None:
    """Looked for in vain, and then somebody changes the object: our write may have been stored and replaced."""
    async with rig(database, bounds=QUICK) as r:
        seen: list[str] = []

        async def hold_up(call: Call, proceed: Proceed) -> web.StreamResponse:
            if call.method == "PATCH":
                seen.append("sent")
                return web.json_response(status_body(504), status=504)
            answer = await proceed()
            if seen == ["sent"] and call.method == "GET" and call.path.endswith("/deployments/backstage"):
                seen.append("moved")
                r.sandbox.store.mutate(DEPLOYMENTS, "backstage", "backstage", replace_it)
            return answer

        def replace_it(obj: dict[str, Any]) -> dict[str, Any]:
            return {**obj, "spec": {**obj["spec"], "replicas": 4}}

        r.put(deployment())
        r.sandbox.middlewares.append(hold_up)
        await r.deliver(alert())
        await r.settle()
        assert seen == ["sent", "moved"]
        assert await r.states() == ["unknown"]


async def test_a_dead_owners_write_that_may_yet_land(database: str) -> None:
    """Dispatched, not stored, and the alert ends before the next owner: it is not said that nothing was done."""
    async with rig(database, bounds=QUICK) as r:
        before = r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        await abandon(r, "dispatched", before)
        await r.sql.execute("UPDATE remediator.alerts SET status = 'resolved', ends_at = now()")
        await r.settle()
        assert await r.states() == ["unknown"]
        assert r.writes() == []


async def test_a_doubt_about_what_is_gone_goes_to_people_at_once(database: str) -> None:
    """Dispatched, and deleted since: no read can ever tell what became of the write, so nobody waits for one."""
    async with rig(database, bounds=QUICK) as r:
        before = r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        await abandon(r, "dispatched", before)
        r.sandbox.store.delete(DEPLOYMENTS, "backstage", "backstage")
        await r.settle()
        assert await r.states() == ["unknown"]
        assert "cannot be known" in r.people.heard[0]["message"]


async def test_a_doubt_without_the_right_to_look_everywhere(database: str) -> None:
    """The ReplicaSets may not be listed: an object as it was, without our mark, proves that nothing was stored."""
    async with rig(database, bounds=QUICK) as r:
        before = r.put(deployment())

        async def forbid(call: Call, proceed: Proceed) -> web.StreamResponse:
            if call.path.endswith("/replicasets"):
                return web.json_response(status_body(403), status=403)
            return await proceed()

        r.sandbox.middlewares.append(forbid)
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        await abandon(r, "dispatched", before)
        await r.settle()
        assert await r.states() == ["verifying"]
        assert len(r.writes()) == 1


async def test_a_zombie_cannot_write_down_anything(database: str) -> None:
    """An owner whose action was taken over learns so from every store call."""
    async with rig(database, bounds=QUICK) as r:
        r.put(deployment())
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        (zombie,) = await r.parts.stores.actions.claim(1, "zombie", -1.0)
        await r.settle()
        number, fence = zombie.action.number, zombie.action.fence
        assert not await r.parts.stores.actions.renew(number, fence, 60)
        (entry,) = [one for one in await r.entries() if one.kind == "action.applied"]
        before = len(await r.entries())
        fresh = await r.parts.cluster.reader.live(zombie.action.target)
        new = NewEntry(kind=entry.kind, summary="zombie")
        assert not await r.parts.stores.actions.dispatched(number, fence, fresh.image, new)
        assert not await r.parts.stores.actions.in_doubt(number, fence, new)
        assert not await r.parts.stores.actions.applied(number, fence, new)
        assert len(await r.entries()) == before
        assert await r.states() == ["verifying"]


async def abandon(r: Rig, state: str, before: dict[str, Any] | None = None) -> None:
    """Leave the only action as a dead owner would have left it."""
    image = None
    if before is not None:
        found = await r.rows("SELECT target::text AS target FROM remediator.actions")
        live = await r.parts.cluster.reader.live(msgspec.json.decode(found[0]["target"], type=Target))
        image = live.image
    await r.sql.execute(
        """UPDATE remediator.actions
           SET state = $1, lease_until = now() - interval '1 s', attempts = 1, applied_at = NULL, check_at = NULL,
               fence = greatest(fence, nextval('remediator.fences')),
               before_image = coalesce($2::jsonb, before_image)""",
        state,
        msgspec.json.encode(image).decode() if image else None,
    )
