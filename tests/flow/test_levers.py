"""Scaling through whatever decides about the number of pods: one write to it, with marks, proof and undo of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from remediator.adapters.kubernetes.marks import ACTION, FENCE
from remediator.adapters.ledger.pool import open_pools
from remediator.adapters.ledger.undo import LedgerUndos
from remediator.model.entry import EntryKind
from remediator.model.rule import Rung
from remediator.model.signal import Status
from remediator.sandbox import scenario
from remediator.sandbox.api import Proceed
from remediator.sandbox.calls import Call
from remediator.sandbox.resources import AUTOSCALERS, DEPLOYMENTS, SCALED_OBJECTS, GroupResource
from tests.flow.rig import Rig, a_rule, alert, deployment, rig
from tests.flow.test_doubt import QUICK, Fault
from tests.flow.test_flow import step
from tests.flow.test_undo import finish, last

SCALE = a_rule(ladder=(Rung(action="scale", parameters={"step": 2, "max": 20}),))
HPA = scenario.autoscaler("backstage", "backstage", least=2, most=8)

Json = dict[str, Any]


@asynccontextmanager
async def owned(database: str, *manifests: Json, fault: Fault | None = None) -> AsyncIterator[Rig]:
    """A Deployment of 3 pods and what is around it; its alert fires."""
    async with rig(database, SCALE, bounds=QUICK) as r:
        r.put(deployment())
        r.sandbox.add_namespace("argocd")
        scenario.put(r.sandbox.store, manifests)
        if fault is not None:
            r.sandbox.middlewares.append(fault)
        await r.deliver(alert())
        await r.settle()
        yield r


def lever(r: Rig, resource: GroupResource = AUTOSCALERS) -> Json:
    """Return what scales the Deployment."""
    return r.sandbox.store.get(resource, "backstage", "backstage")


def change(r: Rig, **spec: Any) -> None:
    """Change the autoscaler, as somebody else would."""
    r.sandbox.store.mutate(AUTOSCALERS, "backstage", "backstage", lambda one: {**one, "spec": {**one["spec"], **spec}})


def obeyed(r: Rig, replicas: int) -> None:
    """Let the autoscaler's controller do what it was told."""
    r.sandbox.store.mutate(
        DEPLOYMENTS, "backstage", "backstage", lambda one: {**one, "spec": {**one["spec"], "replicas": replicas}}
    )
    r.rolled_out()


async def recovered(r: Rig, replicas: int = 5) -> None:
    """Let it help."""
    obeyed(r, replicas)
    await r.deliver(alert(status=Status.RESOLVED))
    for _ in range(3):
        await r.hasten()
    assert await r.states() == ["recovered"]


async def undo(r: Rig, database: str) -> None:
    """Ask for the undo of the first action."""
    async with open_pools(database) as pools:
        undos = LedgerUndos(pools.stages)
        former = await undos.former(1)
        assert former is not None
        assert await undos.ask(former, actor="mira", reason="the peak is over")
        await r.settle()


@pytest.mark.parametrize(
    ("manifest", "resource", "field"),
    [
        (HPA, AUTOSCALERS, "minReplicas"),
        (scenario.scaled_object("backstage", "backstage", most=8), SCALED_OBJECTS, "minReplicaCount"),
    ],
    ids=["autoscaler", "keda"],
)
async def test_the_lever_is_written_to_once(database: str, manifest: Json, resource: GroupResource, field: str) -> None:
    """Marks, fence and value are on it; the Deployment is left alone; the undo brings the former bound back."""
    former = manifest["spec"].get(field)
    async with owned(database, manifest) as r:
        assert lever(r, resource)["spec"][field] == 5
        marks = lever(r, resource)["metadata"]["annotations"]
        (row,) = await r.rows("SELECT id, fence FROM remediator.actions")
        assert (marks[ACTION], marks[FENCE]) == (row["id"], str(row["fence"]))
        assert "annotations" not in r.live()["metadata"]
        assert r.live()["spec"]["replicas"] == 3
        (write,) = r.writes()
        assert write.path.endswith(f"/{resource.resource}/backstage")
        assert write.body["metadata"]["uid"] == lever(r, resource)["metadata"]["uid"]
        sent = await last(r, EntryKind.ACTION_DISPATCHED)
        assert write.body["metadata"]["resourceVersion"] == sent.data["resource_version"]
        assert sent.summary.startswith(f"sending: raise {field} of {manifest['kind'].lower()}/backstage from ")
        await recovered(r)
        await undo(r, database)
        assert lever(r, resource)["spec"].get(field) == former
        assert int(lever(r, resource)["metadata"]["annotations"][FENCE]) > row["fence"]
        obeyed(r, 3)
        await finish(r)
        assert await r.states() == ["recovered", "recovered"]
        assert len(r.writes()) == 2


async def test_an_autoscaler_at_its_end_may_have_more(database: str) -> None:
    """Three of at most three: the most is raised, the fewest stays."""
    async with owned(database, scenario.autoscaler("backstage", "backstage", least=2, most=3)) as r:
        assert lever(r)["spec"] | {"minReplicas": 2, "maxReplicas": 5} == lever(r)["spec"]


@pytest.mark.parametrize("spec", [{"minReplicas": 7}, {"maxReplicas": 9}])
async def test_bounds_that_somebody_has_moved_are_theirs(database: str, spec: Json) -> None:
    """An undo does not take back what a person has written since."""
    async with owned(database, HPA) as r:
        await recovered(r)
        change(r, **spec)
        await undo(r, database)
        assert lever(r)["spec"] | spec == lever(r)["spec"]
        assert (await last(r, EntryKind.DECISION_HOLD)).reasons == ("changed_since",)
        assert len(r.writes()) == 1


async def test_a_lost_answer_is_settled_by_the_mark_on_the_lever(database: str) -> None:
    """The write was stored and nobody heard: it is found, and not sent again."""
    fault = Fault("swallow")
    async with owned(database, HPA, fault=fault) as r:
        assert (lever(r)["spec"]["minReplicas"], fault.seen, len(r.writes())) == (5, 1, 1)
        assert await r.states() == ["verifying"]
        assert (await r.kinds())[-3:] == ["action.dispatched", "action.in_doubt", "action.applied"]


@pytest.mark.parametrize("code", ["500", "409"])
async def test_what_was_not_stored_is_sent_again(database: str, code: str) -> None:
    """The autoscaler is as it was, and carries no mark: of two attempts only one can be stored."""
    fault = Fault(code)
    async with owned(database, HPA, fault=fault) as r:
        assert (lever(r)["spec"]["minReplicas"], fault.seen, len(r.writes())) == (5, 2, 1)
        assert await r.states() == ["verifying"]


class Meanwhile(Fault):
    """Answers 500 to the first write, after somebody else has written."""

    def __init__(self, r: Rig) -> None:
        """Take the rig."""
        super().__init__("500")
        self.rig = r

    async def __call__(self, call: Call, proceed: Proceed) -> web.StreamResponse:
        """Handle one request."""
        if call.method == "PATCH" and self.left:
            change(self.rig, maxReplicas=9)
        return await super().__call__(call, proceed)


async def test_what_nobody_can_know_is_for_people(database: str) -> None:
    """No clear answer, and the autoscaler was written to in between: our mark may have been there and gone."""
    async with rig(database, SCALE, bounds=QUICK) as r:
        r.put(deployment())
        scenario.put(r.sandbox.store, [HPA])
        r.sandbox.middlewares.append(Meanwhile(r))
        await r.deliver(alert())
        await r.settle()
        assert await r.states() == ["unknown"]
        assert lever(r)["spec"]["minReplicas"] == 2
        await r.hasten()
        assert len(r.people.heard) == 1


async def test_a_lever_made_anew_is_another(database: str) -> None:
    """Decided about one autoscaler, and there is another of its name at the write: nothing is written."""
    async with rig(database, SCALE, bounds=QUICK) as r:
        r.put(deployment())
        scenario.put(r.sandbox.store, [HPA])
        await r.deliver(alert())
        await step(r, "match", "assess", "admit")
        assert await r.states() == ["admitted"]
        r.sandbox.store.remove(AUTOSCALERS, "backstage", "backstage")
        scenario.put(r.sandbox.store, [HPA])
        await r.settle()
        assert (await r.states(), r.writes()) == (["refused"], [])


@pytest.mark.parametrize("ignored", [False, True])
async def test_what_argo_cd_would_take_back_is_held(database: str, ignored: bool) -> None:
    """Nothing is written; the ledger says who, and what to do. What it does not compare is scaled as ever."""
    rules = [{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}] if ignored else []
    async with rig(database, SCALE, bounds=QUICK) as r:
        made = deployment()
        mark = {"argocd.argoproj.io/tracking-id": "portal:apps/Deployment:backstage/backstage"}
        made["metadata"]["annotations"] = mark
        r.put(made)
        r.sandbox.add_namespace("argocd")
        scenario.put(r.sandbox.store, [scenario.application("portal", "backstage", ignored=rules)])
        await r.deliver(alert())
        await r.settle()
        assert r.live()["spec"]["replicas"] == (5 if ignored else 3)
        if not ignored:
            held = await last(r, EntryKind.DECISION_HOLD)
            assert (held.reasons, r.writes()) == (("cannot_plan",), [])
            assert "let it ignore /spec/replicas, change it in Git, or say allow_gitops: true" in held.summary
