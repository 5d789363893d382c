"""What webhooks do not tell is found by asking a real Alertmanager, and nothing is made of what it does not say."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest

from remediator.model.entry import EntryKind
from tests.acceptance.alertmanager import Alertmanager, Rhythm
from tests.acceptance.daemon import Daemon, free_port
from tests.acceptance.prometheus import MISSING as NO_PROMETHEUS
from tests.acceptance.prometheus import PROGRAM as PROMETHEUS
from tests.acceptance.prometheus import prometheus
from tests.acceptance.scene import BACKSTAGE, ROOMY, Scene

pytestmark = pytest.mark.alertmanager

OFTEN = ("--reconcile-interval", "1s", "--reconcile-grace", "0s")
SURE = ("--alertmanager-settle", "1s")
RESTART = "/apis/apps/v1/namespaces/backstage/deployments/backstage"


class Place:
    """Where an Alertmanager will listen: known before it runs, so that it and a daemon can be told of each other."""

    def __init__(self, scene: Scene, name: str = "am") -> None:
        """Choose a port."""
        self.scene, self.name, self.port = scene, name, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lives = 0

    def running(self, *hooks: str, rhythm: Rhythm | None = None) -> AbstractAsyncContextManager[Alertmanager]:
        """Run one with an empty memory, whose webhooks go to ``hooks``, or where nobody listens."""
        self.lives += 1
        nobody = f"http://127.0.0.1:{free_port()}"
        folder = self.scene.folder / f"{self.name}-{self.lives}"
        return Alertmanager.running(folder, self.scene.http, hooks or [nobody], rhythm, port=self.port)

    def daemon(self, *flags: str, name: str = "daemon") -> Daemon:
        """Return a daemon that asks it."""
        return self.scene.daemon("--alertmanager-url", self.url, *ROOMY, *flags, name=name)


async def looks(scene: Scene, count: int) -> None:
    """Wait until so many looks more have been begun, and ended."""
    watching = await asyncpg.connect(scene.database)
    try:
        before = await watching.fetchval("SELECT turn FROM remediator.duties WHERE name = 'lookout'")

        async def enough() -> bool:
            row = await watching.fetchrow("SELECT turn, lease_until FROM remediator.duties WHERE name = 'lookout'")
            return row is not None and row["lease_until"] is None and bool(row["turn"] > before + count)

        await scene.until(f"{count} looks", enough)
    finally:
        await watching.close()


async def test_what_fires_without_a_webhook_is_found_and_its_end_too(scene: Scene) -> None:
    """No notification ever arrives: found at the start, remediated once, closed when Alertmanager has it no more."""
    place = Place(scene)
    async with place.running() as am:
        await scene.make_ill("backstage", "backstage")
        await am.fire(BACKSTAGE)
        daemon = place.daemon(*OFTEN, *SURE)
        await daemon.start()
        await scene.until_kind(EntryKind.ACTION_APPLIED)
        await scene.cluster.settle()
        await am.resolve(BACKSTAGE)
        await scene.until_resolved()
        assert await scene.joined(1) == [RESTART]
        (firing,) = await scene.entries(EntryKind.ALERT_FIRING)
        assert "when it is asked" in firing.summary
        (over,) = await scene.entries(EntryKind.ALERT_RESOLVED)
        assert "does not have it any more" in over.summary
        assert await daemon.stop() == 0


async def test_webhooks_and_looks_are_one_alert(scene: Scene) -> None:
    """All tell of it, under the same source and fingerprint: one incident, one action."""
    place, peer = Place(scene), Place(scene, "peer")
    daemon = place.daemon(*OFTEN, *SURE, "--alertmanager-url", f"{place.url},{peer.url}")
    async with place.running(daemon.url) as one, peer.running(daemon.url) as other:
        await daemon.start()
        await scene.make_ill("backstage", "backstage")
        await one.fire(BACKSTAGE)
        await other.fire(BACKSTAGE)
        await scene.until_kind(EntryKind.ACTION_APPLIED)
        await looks(scene, 2)
        await scene.cluster.settle()
        await other.resolve(BACKSTAGE)
        await one.resolve(BACKSTAGE)
        await scene.until_resolved()
        await looks(scene, 2)
    await scene.joined(1)
    counts = await scene.kinds()
    assert (counts[EntryKind.ALERT_FIRING], counts[EntryKind.INCIDENT_OPENED]) == (1, 1)
    assert counts[EntryKind.ALERT_REOPENED] == 0


async def test_a_silenced_alert_is_held_with_the_reason(scene: Scene) -> None:
    """Held and told in the ledger, no incident, nobody called; when the silence ends, it is acted on."""
    place = Place(scene)
    async with place.running() as am:
        silence = await am.silence({"alertname": "BackstageDown"})
        await scene.make_ill("backstage", "backstage")
        await am.fire(BACKSTAGE)
        daemon = place.daemon(*OFTEN, *SURE)
        await daemon.start()
        await scene.until_kind(EntryKind.DECISION_HOLD)
        await looks(scene, 2)
        (held,) = await scene.entries(EntryKind.DECISION_HOLD)
        assert held.reasons == ("silenced",)
        assert silence in held.summary
        assert scene.writes() == []
        counts = await scene.kinds()
        assert (counts[EntryKind.INCIDENT_OPENED], counts[EntryKind.INCIDENT_ESCALATED]) == (0, 0)
        await am.end_silence(silence)
        await scene.until_kind(EntryKind.ACTION_APPLIED)
        assert await daemon.stop() == 0


async def test_an_alert_that_ends_under_a_silence_does_not_rot(scene: Scene) -> None:
    """It was told of, then silenced; Alertmanager never tells that it has ended, and is asked."""
    place = Place(scene)
    daemon = place.daemon(*OFTEN, *SURE, "--mode", "observe")
    async with place.running(daemon.url) as am:
        await daemon.start()
        await am.fire(BACKSTAGE)
        await scene.until_kind(EntryKind.INCIDENT_OPENED)
        await am.silence({"alertname": "BackstageDown"})
        await looks(scene, 1)
        await am.resolve(BACKSTAGE)
        await scene.until_resolved()
        (over,) = await scene.entries(EntryKind.ALERT_RESOLVED)
        assert "does not have it any more" in over.summary
        assert await daemon.stop() == 0


async def test_what_a_truncated_notification_left_out_is_found(scene: Scene) -> None:
    """One alert of five fits into the body; that makes us ask at once, long before it is time."""
    alerts = [{"alertname": "Unknown", "namespace": "backstage", "n": str(number)} for number in range(5)]
    place = Place(scene)
    daemon = place.daemon("--reconcile-interval", "300s", "--reconcile-grace", "0s")
    async with place.running(daemon.url, rhythm=Rhythm(max_alerts=1)) as am:
        await daemon.start()
        await am.fire(*alerts)
        await scene.until_kind(EntryKind.SIGNALS_TRUNCATED)
        await scene.until_kind(EntryKind.SIGNAL_UNMATCHED, 5)
        assert await daemon.stop() == 0


async def test_an_alertmanager_that_was_started_anew_has_forgotten(scene: Scene) -> None:
    """Nothing follows from what is not in its empty memory, nor from its not answering before that."""
    place = Place(scene)
    daemon = place.daemon(*OFTEN, "--alertmanager-settle", "1h")
    async with place.running() as am:
        await am.fire({"alertname": "Unknown", "namespace": "backstage"})
        await daemon.start()
        await scene.until_kind(EntryKind.SIGNAL_UNMATCHED)
    await looks(scene, 1)
    async with place.running():
        await looks(scene, 3)
        assert (await scene.kinds())[EntryKind.ALERT_RESOLVED] == 0
        assert await daemon.stop() == 0
    assert {"unheard", "heard"} <= {line["outcome"] for line in daemon.lines() if line.get("stage") == "reconcile"}


async def test_what_was_called_resolved_and_fires_on_is_opened_again(scene: Scene) -> None:
    """Prometheus was cut off, and Alertmanager called the end; the same episode is told again and decided about."""
    place = Place(scene)
    daemon = place.daemon(*OFTEN, *SURE, "--mode", "observe")
    async with place.running(daemon.url) as am:
        await daemon.start()
        await am.fire(BACKSTAGE, for_s=4)
        await scene.until_kind(EntryKind.ALERT_RESOLVED)

        async def again() -> bool:
            # As Prometheus does, again and again.
            await am.fire(BACKSTAGE)
            return (await scene.kinds())[EntryKind.ALERT_REOPENED] == 1

        await scene.until("it is opened again", again)
        await scene.until_kind(EntryKind.DECISION_OBSERVE, 2)
        await am.resolve(BACKSTAGE)
        await scene.until_kind(EntryKind.ALERT_RESOLVED, 2)
        assert await daemon.stop() == 0


async def test_one_replica_asks_and_another_takes_over(scene: Scene) -> None:
    """Two replicas share the turns; one is killed, and the other finds the next alert, which is told once."""
    place = Place(scene)
    async with place.running() as am:
        one, other = (place.daemon(*OFTEN, name=name) for name in ("one", "other"))
        await one.start()
        await other.start()
        await looks(scene, 2)
        await one.kill()
        await am.fire({"alertname": "Unknown", "namespace": "backstage"})
        await scene.until_kind(EntryKind.SIGNAL_UNMATCHED, seconds=20.0)
        await looks(scene, 1)
        assert await other.stop() == 0
    assert (await scene.kinds())[EntryKind.SIGNAL_UNMATCHED] == 1


@pytest.mark.slow
@pytest.mark.prometheus
@pytest.mark.skipif(PROMETHEUS is None, reason=NO_PROMETHEUS)
async def test_what_came_and_went_while_nobody_listened_is_recorded(scene: Scene) -> None:
    """Prometheus remembers it: an incident that is over, an entry, a message to people, and nothing done."""
    port = free_port()
    daemon = scene.daemon("--prometheus-url", f"http://127.0.0.1:{port}", *ROOMY)
    await daemon.start()
    await looks(scene, 0)
    assert await daemon.stop() == 0
    async with prometheus(scene.folder / "prometheus", "BackstageDown", port) as url:

        async def over() -> bool:
            async with scene.http.get(f"{url}/api/v1/query", params={"query": "time() - began"}) as answer:
                # It refuses to answer while it starts.
                result = (await answer.json())["data"]["result"] if answer.status == 200 else []
            # An absence of ten seconds is none.
            return bool(result) and float(result[0]["value"][1]) > 12

        await scene.until("the alert has come and gone", over)
        await daemon.start()
        await scene.until_kind(EntryKind.ALERT_MISSED)
        await scene.until_kind(EntryKind.NOTIFIED)
        await scene.until_resolved()
        assert await daemon.stop() == 0
    (missed,) = await scene.entries(EntryKind.ALERT_MISSED)
    assert missed.incident == 1
    assert "BackstageDown (backstage) fired" in missed.summary
    assert scene.writes() == []
