"""The check of pods: what is not well stands first, and what cannot be seen is not well."""

from __future__ import annotations

from typing import Any

import pytest

from remediator.checks.pods import PODS
from remediator.model.look import Objects, Seen
from remediator.model.report import Verdict
from tests.checks.seeing import FORBIDDEN, report

LOOK = Objects(resource="pods", namespace="backstage")


def pod(name: str, *, ready: bool = True, phase: str = "Running", **status: Any) -> dict[str, Any]:
    """Return a pod of one container, ten minutes old."""
    return {
        "metadata": {"name": name, "namespace": "backstage", "creationTimestamp": "2026-11-24T11:50:00Z"},
        "spec": {"containers": [{"name": "app"}]},
        "status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "app", "ready": ready, "restartCount": 3, **status}],
        },
    }


async def test_pods_that_are_not_well_stand_first() -> None:
    """With the reason that kubectl shows; one that has done its work is well."""
    waiting = pod("b", ready=False, state={"waiting": {"reason": "CrashLoopBackOff"}})
    failed = pod("d", ready=False, state={"terminated": {"reason": "OOMKilled", "exitCode": 137}})
    done = pod("c", ready=False, phase="Succeeded", state={"terminated": {"reason": "Completed", "exitCode": 0}})
    found = await report(PODS, {LOOK: Seen(items=(pod("a"), waiting, done, failed))})
    assert (found.verdict, found.summary) == (Verdict.ATTENTION, "2 of 4 pods in backstage are not ready")
    assert [row[1:] for row in found.tables[0].rows] == [
        ("b", "0/1", "CrashLoopBackOff", 3, "10 min"),
        ("d", "0/1", "OOMKilled", 3, "10 min"),
        ("a", "1/1", "Running", 3, "10 min"),
        ("c", "0/1", "Succeeded", 3, "10 min"),
    ]


async def test_a_pod_on_its_way_out_is_not_well() -> None:
    """However ready it says that it is."""
    leaving = pod("a")
    leaving["metadata"]["deletionTimestamp"] = "2026-11-24T11:59:00Z"
    found = await report(PODS, {LOOK: Seen(items=(leaving,))})
    assert (found.verdict, found.tables[0].rows[0][3]) == (Verdict.ATTENTION, "Terminating")


@pytest.mark.parametrize("count", [0, 3])
async def test_all_is_well(count: int) -> None:
    """And no pods at all are no fault of theirs."""
    found = await report(PODS, {LOOK: Seen(items=tuple(pod(f"p{number}") for number in range(count)))})
    assert (found.verdict, found.advice) == (Verdict.OK, ())


async def test_what_cannot_be_seen_is_not_well() -> None:
    """It is unknown, with the way out."""
    found = await report(PODS, {LOOK: FORBIDDEN})
    assert found.verdict is Verdict.UNKNOWN
    assert found.summary == "the pods in backstage could not be seen"
    assert found.unseen == ("pods in backstage: let remediator look",)
