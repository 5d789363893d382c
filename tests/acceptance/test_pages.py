"""``/livez``, ``/readyz``, ``/metrics`` and the webhook's edges, asked of the real process."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from remediator.adapters.clock import SystemClock
from remediator.model.entry import EntryKind
from tests.acceptance.daemon import HOOK, Daemon
from tests.acceptance.scene import BACKSTAGE, ROOMY, Scene, body

NAMES = 2000
Series = tuple[str, tuple[tuple[str, str], ...]]


async def _series(scene: Scene, daemon: Daemon) -> dict[Series, float]:
    """Return every series of ``/metrics``, by name and labels."""
    status, text = await daemon.get(scene.http, "/metrics")
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _total(series: Mapping[Series, float], name: str) -> float:
    return sum(value for (known, _), value in series.items() if known == name)


async def test_the_pages_of_a_healthy_daemon(scene: Scene) -> None:
    """Alive and ready, each check by its name, and the database's round trip in figures."""
    daemon = scene.daemon()
    await daemon.start()
    for path, checks in (("/livez", {"tasks"}), ("/readyz", {"tasks", "database", "inbox", "clocks", "fences"})):
        status, text = await daemon.get(scene.http, path)
        answer = json.loads(text)
        assert (status, answer["ok"], set(answer["checks"])) == (200, True, checks)
        assert all(check["ok"] for check in answer["checks"].values())
    for path in (HOOK, "/"):
        assert (await daemon.get(scene.http, path))[0] == 405
    assert (await daemon.get(scene.http, "/nowhere"))[0] == 404


async def test_metrics_are_bounded_whatever_arrives(scene: Scene) -> None:
    """Two thousand names of alerts, with labels to match, make not one new series, and each is counted."""
    daemon = scene.daemon(*ROOMY)
    await daemon.start()
    since = SystemClock().now()

    def some(first: int) -> dict[str, object]:
        return body(
            (
                {"alertname": f"Name{n}", f"label{n}": f"value{n}", "namespace": f"ns-{n}"}
                for n in range(first, first + 100)
            ),
            since,
        )

    assert await daemon.post(scene.http, some(NAMES)) == 200
    await scene.until_kind(EntryKind.SIGNAL_UNMATCHED, 100)
    before = await _series(scene, daemon)
    for first in range(0, NAMES, 100):
        assert await daemon.post(scene.http, some(first)) == 200
    await scene.until("all are matched", lambda: _unmatched(scene, NAMES + 100))
    after = await _series(scene, daemon)
    # A stage that has its first turn meanwhile has series of its own; their words are ours.
    assert len(new := {series for series in after if series not in before}) < 60
    assert {name.rpartition("_")[0] for name, _ in new} <= {"remediator_stage_events", "remediator_stage_seconds"}
    assert _total(after, "remediator_signals_total") == NAMES + 100
    words = list(itertools.chain.from_iterable(labels for _, labels in after))
    assert [value for _, value in words if value.startswith(("Name", "value", "ns-"))] == []


async def test_metrics_tell_of_a_remediation(scene: Scene) -> None:
    """Decided, done and verified: the figures of the action are there."""
    daemon = scene.daemon(*ROOMY)
    await daemon.start()
    await scene.make_ill("backstage", "backstage")
    since = SystemClock().now()
    assert await daemon.post(scene.http, body([BACKSTAGE], since)) == 200
    await scene.until_kind(EntryKind.ACTION_APPLIED)
    assert await daemon.post(scene.http, body([BACKSTAGE], since, resolved=SystemClock().now())) == 200
    await scene.until_resolved()
    series = await _series(scene, daemon)
    assert series["remediator_actions_total", (("action", "restart"), ("outcome", "recovered"))] == 1
    assert series["remediator_verdicts_total", (("verdict", "recovered"),)] == 1
    assert _total(series, "remediator_webhook_requests_total") == 2


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"{", 400),
        (b"NaN", 400),
        (b"[" * 100_000, 400),
        (b'{"alerts": ' + b"9" * 5000 + b"}", 400),
        (b'{"alerts": "none"}', 400),
        (b"\xff\xfe\x00", 400),
    ],
    ids=["cut off", "NaN", "deep", "long number", "wrong type", "no UTF-8"],
)
async def test_a_bad_body_harms_nobody(scene: Scene, raw: bytes, status: int) -> None:
    """Refused for good, and the next one is taken: the process lives on."""
    daemon = scene.daemon()
    await daemon.start()
    assert await daemon.post(scene.http, raw) == status
    assert await daemon.post(scene.http, body([{"alertname": "Unknown"}], SystemClock().now())) == 200
    await scene.until_kind(EntryKind.SIGNAL_UNMATCHED)


async def test_one_bad_alert_is_put_aside_alone(scene: Scene) -> None:
    """The other alerts of its body are worked on; the bad one is in the ledger with its place."""
    daemon = scene.daemon()
    await daemon.start()
    document = body([{"alertname": "Unknown"}, BACKSTAGE], SystemClock().now())
    document["alerts"][1]["labels"] = {}
    assert await daemon.post(scene.http, document) == 200
    await scene.until_kind(EntryKind.SIGNAL_UNMATCHED)
    (aside,) = await scene.entries(EntryKind.SIGNAL_QUARANTINED)
    assert "alerts[1]" in aside.summary


async def test_who_sends_nothing_does_not_keep_the_daemon_from_ending(scene: Scene) -> None:
    """A connection that is open and silent is closed at the end; half a request too."""
    daemon = scene.daemon()
    await daemon.start()
    host, port = daemon.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as silent, socket.create_connection((host, int(port))) as half:
        half.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        clock = SystemClock()
        began = clock.monotonic()
        assert await daemon.stop() == 0
        assert clock.monotonic() - began < 25
        assert silent.recv(100) == b""


async def _unmatched(scene: Scene, count: int) -> bool:
    return (await scene.kinds())[EntryKind.SIGNAL_UNMATCHED] == count
