"""The threshold table and a real Prometheus: over warning, over critical, back; and what happens when it is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediator.model.entry import EntryKind
from tests.acceptance.daemon import Daemon, free_port
from tests.acceptance.prometheus import MISSING, PROGRAM, Exporter, scraping
from tests.acceptance.scene import ROOMY, Scene

pytestmark = [pytest.mark.prometheus, pytest.mark.skipif(PROGRAM is None, reason=MISSING)]

SCALE = "/apis/apps/v1/namespaces/backstage/deployments/backstage"
RULES = """
thresholds:
  - name: cpu-usage
    description: A workload uses most of the CPU that it may. Add a pod.
    expr: max by (namespace, deployment) (cpu_percent)
    unit: percent
    warning: 70
    critical: 85
    for: 1s
    match: ['namespace="backstage"']
    severity: P3
    mode: enforce
    target: {kinds: [Deployment]}
    ladder: [{scale: {step: 1, max: 10}}, notify]
    limits: {cooldown: 1s}
    recover: {below: 65, for: 1s, within: 60s}
"""


def polling(scene: Scene, port: int) -> Daemon:
    """Return a daemon that asks every second, believes Prometheus soon, and tells people soon what it does not know."""
    folder: Path = scene.folder / "rules"
    folder.mkdir()
    (folder / "thresholds.yaml").write_text(RULES, encoding="utf-8")
    return scene.daemon(
        *("--prometheus-url", f"http://127.0.0.1:{port}", "--poll-interval", "1s", "--poll-settle", "1s"),
        *("--unknown-after", "1s", *ROOMY),
        rules=folder,
    )


@pytest.mark.slow
async def test_a_row_over_its_thresholds_and_back(scene: Scene) -> None:
    """Warning, action, critical, back: one incident, one more pod, one verdict; Prometheus gone: a page."""
    port = free_port()
    daemon = polling(scene, port)
    async with Exporter.listening() as exporter:
        exporter.say(cpu_percent=79.0)
        async with scraping(scene.folder / "prometheus", exporter.address, port):
            await daemon.start()
            await scene.until_kind(EntryKind.ACTION_APPLIED)
            exporter.say(cpu_percent=91.5)
            await scene.until_kind(EntryKind.ALERT_CHANGED)
            exporter.say(cpu_percent=60.0)
            await scene.until_kind(EntryKind.ALERT_RESOLVED)
            await scene.until_kind(EntryKind.ACTION_VERIFIED)
        before = await scene.kinds()
        await scene.until_kind(EntryKind.MONITORING_LOST, before[EntryKind.MONITORING_LOST] + 1)
        assert await daemon.stop() == 0
    told = [entry.summary for entry in await scene.entries(EntryKind.ALERT_FIRING, EntryKind.ALERT_CHANGED)]
    limits = "(warning from 70 %, critical from 85 %)"
    assert told[0] == f"cpu-usage of backstage/backstage fires: warning for 1 s: 79 % {limits}"
    assert told[1] == f"cpu-usage of backstage/backstage fires on: critical for 1 s: 91.5 % {limits}"
    (over,) = await scene.entries(EntryKind.ALERT_RESOLVED)
    assert over.summary == "cpu-usage of backstage/backstage is over: 60 %, below 65 % for 1 s"
    (verdict,) = await scene.entries(EntryKind.ACTION_VERIFIED)
    assert (verdict.data["remedy"], verdict.data["rung"]) == ("scale", 0)
    assert verdict.data["measures"][0]["row"] == "cpu-usage"
    assert await scene.joined(1) == [SCALE]
    lost = (await scene.entries(EntryKind.MONITORING_LOST))[-1]
    assert "the row cpu-usage of the threshold table has been unknown for" in lost.summary
    assert "unreachable" in lost.summary
    told_of = [line for line in daemon.lines() if line.get("stage") == "poll"]
    assert {"row_unknown", "fires", "rises", "ends", "calls"} <= {line["outcome"] for line in told_of}
    assert [line["severity"] for line in told_of if line["outcome"] == "rises"] == ["critical"]
