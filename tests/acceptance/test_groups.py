"""Many alerts at once, from a real Alertmanager: one action a target, never more than the limits, all recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remediator.model.decision import HoldReason
from remediator.model.entry import EntryKind
from remediator.sandbox import scenario
from remediator.sandbox.resources import PODS
from tests.acceptance.alertmanager import Alertmanager, Rhythm
from tests.acceptance.scene import CRASH, CROWDS, ROOMY, Scene, app_alert

pytestmark = [pytest.mark.alertmanager, pytest.mark.slow]

COUNT = 50
ONE_GROUP = Rhythm(group_by="['alertname']")


@pytest.fixture
async def crowd(tmp_path: Path, database: str) -> AsyncIterator[Scene]:
    """One Deployment of fifty pods."""
    seed = [
        *scenario.nodes(),
        scenario.namespace("backstage"),
        scenario.deployment("backstage", "backstage", replicas=COUNT),
    ]
    async with Scene.playing(tmp_path, database, seed) as playing:
        yield playing


@pytest.fixture
async def fleet(tmp_path: Path, database: str) -> AsyncIterator[Scene]:
    """Fifty Deployments in five namespaces."""
    async with Scene.playing(tmp_path, database, scenario.fleet(COUNT, namespace_count=5)) as playing:
        yield playing


async def test_fifty_pods_of_one_deployment_are_one_action(crowd: Scene) -> None:
    """Each pod has an alert of its own; together they are one incident, one restart, and no second one."""
    daemon = crowd.daemon(*ROOMY)
    await daemon.start()
    await crowd.make_ill("backstage", "backstage")
    pods = [pod["metadata"]["name"] for pod in crowd.cluster.store.list(PODS, "backstage")]
    assert len(pods) == COUNT
    alerts = [{"alertname": "BackstageDown", "namespace": "backstage", "pod": pod} for pod in pods]
    async with Alertmanager.running(crowd.folder / "am", crowd.http, [daemon.url], ONE_GROUP) as alertmanager:
        await alertmanager.fire(*alerts)
        await crowd.until_kind(EntryKind.ALERT_FIRING, COUNT)
        await crowd.until_kind(EntryKind.ACTION_APPLIED)
        await crowd.cluster.settle()
        await alertmanager.resolve(*alerts)
        await crowd.until_resolved()
    await crowd.joined(1)
    counts = await crowd.kinds()
    assert counts[EntryKind.DECISION_ACT] == counts[EntryKind.INCIDENT_OPENED] == 1


async def test_fifty_deployments_meet_the_limits(fleet: Scene) -> None:
    """Never more open than allowed, in a namespace or at all, nor more begun than the burst; the rest is held."""
    daemon = fleet.daemon("--spacing", "0s", "--open-per-cluster", "3", "--cluster-burst", "4/10m", *CROWDS)
    await daemon.start()
    for number in range(COUNT):
        fleet.cluster.annotate(
            "Deployment", f"team-{number % 5}", f"app-{number}", {"sandbox.remediator.io/behaviour": CRASH}
        )
    alerts = [app_alert(number) for number in range(COUNT)]
    async with Alertmanager.running(fleet.folder / "am", fleet.http, [daemon.url], ONE_GROUP) as alertmanager:
        await alertmanager.fire(*alerts)
        await fleet.until_kind(EntryKind.ACTION_APPLIED, 3)
        await fleet.until("each alert was decided about", lambda: _decided(fleet, COUNT))
        began = [write.path for write in fleet.writes()]
        assert len(began) == len({path.split("/")[5] for path in began}) == 3
        done = [app for app in alerts if any(path.endswith(f"/{app['deployment']}") for path in began)]
        await fleet.cluster.settle(lambda: all(fleet.well(app["namespace"], app["deployment"]) for app in done))
        await alertmanager.resolve(*done)
        # The fourth takes the last place in the burst; after it nothing more is begun in ten minutes.
        await fleet.until_kind(EntryKind.ACTION_APPLIED, 4)
        await fleet.until("the others are held by the burst", lambda: _held(fleet, HoldReason.LIMIT_CLUSTER, COUNT - 4))
    await fleet.joined(4)
    assert (await fleet.kinds())[EntryKind.DECISION_ACT] == 4


async def _decided(scene: Scene, count: int) -> bool:
    """Tell whether so many targets have a decision."""
    found = await scene.entries(EntryKind.DECISION_ACT, EntryKind.DECISION_HOLD)
    return len({entry.target_key for entry in found}) == count


async def _held(scene: Scene, reason: HoldReason, count: int) -> bool:
    """Tell whether so many targets were held for a reason."""
    found = await scene.entries(EntryKind.DECISION_HOLD)
    return len({entry.target_key for entry in found if reason.value in entry.reasons}) == count
