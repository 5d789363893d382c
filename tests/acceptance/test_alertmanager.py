"""An alert put into a real Alertmanager travels to a finished remediation, once, whatever is repeated on the way."""

from __future__ import annotations

import asyncio

import pytest

from remediator.model.entry import EntryKind
from tests.acceptance.alertmanager import Alertmanager, Rhythm
from tests.acceptance.scene import BACKSTAGE, ROOMY, Scene

pytestmark = pytest.mark.alertmanager

RESTART = "/apis/apps/v1/namespaces/backstage/deployments/backstage"
JOURNEY = [
    EntryKind.INCIDENT_OPENED,
    EntryKind.DECISION_ACT,
    EntryKind.EVIDENCE,
    EntryKind.ACTION_DISPATCHED,
    EntryKind.ACTION_APPLIED,
    EntryKind.ACTION_VERIFIED,
    EntryKind.INCIDENT_RESOLVED,
]


async def test_an_alert_travels_to_a_finished_remediation(scene: Scene) -> None:
    """Crash, alert, evidence, restart, recovery, resolved: one incident, one write, each in the ledger, in order."""
    daemon = scene.daemon()
    await daemon.start()
    async with Alertmanager.running(scene.folder / "am", scene.http, [daemon.url]) as alertmanager:
        await scene.make_ill("backstage", "backstage")
        await alertmanager.fire(BACKSTAGE)
        await scene.until_kind(EntryKind.ACTION_APPLIED)
        await scene.cluster.settle()
        await alertmanager.resolve(BACKSTAGE)
        await scene.until_resolved()
    assert await scene.joined(1) == [RESTART]
    assert [entry.kind for entry in await scene.entries(*JOURNEY)] == JOURNEY
    assert {entry.incident for entry in await scene.entries(*JOURNEY)} == {1}
    assert scene.well("backstage", "backstage")
    assert await daemon.stop() == 0


async def test_repeated_notifications_do_not_act_again(scene: Scene) -> None:
    """Alertmanager says every second that it still fires; what was done is not done again."""
    daemon = scene.daemon(*ROOMY)
    await daemon.start()
    rhythm = Rhythm(repeat_interval="1s")
    async with Alertmanager.running(scene.folder / "am", scene.http, [daemon.url], rhythm) as alertmanager:
        await scene.make_ill("backstage", "backstage")
        await alertmanager.fire(BACKSTAGE)
        await scene.until_kind(EntryKind.ACTION_APPLIED)
        posted = await _webhooks(scene, daemon.url)

        async def four_more() -> bool:
            return await _webhooks(scene, daemon.url) >= posted + 4

        await scene.until("four repeats", four_more)
        await alertmanager.resolve(BACKSTAGE)
        await scene.until_resolved()
    await scene.joined(1)
    counts = await scene.kinds()
    assert (counts[EntryKind.INCIDENT_OPENED], counts[EntryKind.DECISION_ACT]) == (1, 1)


async def test_two_alertmanagers_sending_the_same(scene: Scene) -> None:
    """High availability is at least once: two say the same, one incident and one action come of it."""
    daemon = scene.daemon(*ROOMY)
    await daemon.start()
    async with (
        Alertmanager.running(scene.folder / "am-0", scene.http, [daemon.url]) as one,
        Alertmanager.running(scene.folder / "am-1", scene.http, [daemon.url]) as other,
    ):
        await scene.make_ill("backstage", "backstage")
        async with asyncio.TaskGroup() as both:
            both.create_task(one.fire(BACKSTAGE))
            both.create_task(other.fire(BACKSTAGE))
        await scene.until_kind(EntryKind.ACTION_APPLIED)
        await scene.cluster.settle()
        async with asyncio.TaskGroup() as both:
            both.create_task(one.resolve(BACKSTAGE))
            both.create_task(other.resolve(BACKSTAGE))
        await scene.until_resolved()
        assert await _webhooks(scene, daemon.url) >= 3
    await scene.joined(1)
    counts = await scene.kinds()
    assert (counts[EntryKind.INCIDENT_OPENED], counts[EntryKind.DECISION_ACT]) == (1, 1)


async def test_resolved_before_anything_was_done(scene: Scene) -> None:
    """The alert is over before the cluster can be reached: nothing is written, the refusal and the end are recorded."""
    kubeconfig = scene.folder / "later"
    kubeconfig.write_text("apiVersion: v1\nkind: Config\n", encoding="utf-8")
    daemon = scene.daemon("--kubeconfig", str(kubeconfig), *ROOMY)
    await daemon.start()
    async with Alertmanager.running(scene.folder / "am", scene.http, [daemon.url]) as alertmanager:
        await alertmanager.fire(BACKSTAGE)
        await scene.until_kind(EntryKind.ALERT_FIRING)
        await alertmanager.resolve(BACKSTAGE)
        await scene.until_kind(EntryKind.ALERT_RESOLVED)
    scene.cluster.server.write_kubeconfig(kubeconfig)
    await scene.until_kind(EntryKind.DECISION_HOLD)
    assert scene.writes() == []
    assert (await scene.kinds())[EntryKind.DECISION_ACT] == 0


async def _webhooks(scene: Scene, url: str) -> int:
    """Return how many webhooks a daemon has accepted, by its own metrics."""
    async with scene.http.get(f"{url}/metrics") as answer:
        found = [line for line in (await answer.text()).splitlines() if 'code="200"' in line]
    return int(sum(float(line.rpartition(" ")[2]) for line in found))
