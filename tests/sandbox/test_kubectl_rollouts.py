"""The runbook's own kubectl commands, for real, against a cluster that moves."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from remediator.sandbox import scenario
from remediator.sandbox.cluster import SandboxCluster
from remediator.sandbox.controllers.behaviour import Pace

SPACE = "backstage"
KUBECTL = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")

pytestmark = [
    pytest.mark.kubectl,
    pytest.mark.skipif(KUBECTL is None, reason="the kubectl program is not installed"),
]

Run = Callable[..., Awaitable[str]]


@pytest.fixture
async def portal() -> AsyncIterator[SandboxCluster]:
    """The portal's cluster at five times the speed, with a Deployment that crashes and one that hangs."""
    more = [
        scenario.deployment(SPACE, "crashing", behaviour="crash"),
        scenario.deployment(SPACE, "pulling", behaviour="image-pull", spec={"progressDeadlineSeconds": 5}),
    ]
    async with SandboxCluster.running(seed=[*scenario.portal(), *more], pace=Pace(speed=5)) as cluster:
        await cluster.settle(lambda: cluster.is_rolled_out("Deployment", SPACE, "backstage"))
        yield cluster


@pytest.fixture
def kubectl(portal: SandboxCluster, tmp_path: Path) -> Run:
    """Runs kubectl in the namespace; returns what it printed, and fails with it on another exit code."""

    async def run(*arguments: str, code: int = 0) -> str:
        process = await asyncio.create_subprocess_exec(
            str(KUBECTL),
            f"--kubeconfig={portal.kubeconfig_path}",
            f"--namespace={SPACE}",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"HOME": str(tmp_path)},
        )
        output, _ = await process.communicate()
        assert process.returncode == code, output.decode()
        return output.decode()

    return run


async def test_a_rollout_is_restarted_watched_and_undone(kubectl: Run) -> None:
    """`rollout restart`, `status`, `history`, `undo`: the runbook's restart and rollback procedures."""
    await kubectl("rollout", "restart", "deployment/backstage")
    assert "successfully rolled out" in await kubectl("rollout", "status", "deployment/backstage", "--timeout=30s")
    history = await kubectl("rollout", "history", "deployment/backstage")
    assert [line.split()[0] for line in history.splitlines()[2:4]] == ["1", "2"]
    await kubectl("rollout", "undo", "deployment/backstage", "--to-revision=1")
    await kubectl("rollout", "status", "deployment/backstage", "--timeout=30s")
    history = await kubectl("rollout", "history", "deployment/backstage")
    assert [line.split()[0] for line in history.splitlines()[2:4]] == ["2", "3"]


@pytest.mark.parametrize("workload", ["statefulset/redis", "daemonset/node-agent"])
async def test_other_workloads_are_restarted_and_undone(kubectl: Run, workload: str) -> None:
    """StatefulSet and DaemonSet roll over and back."""
    space = "--namespace=monitoring" if workload.startswith("daemonset") else f"--namespace={SPACE}"
    for verb in ("restart", "undo"):
        await kubectl(space, "rollout", verb, workload)
        status = await kubectl(space, "rollout", "status", workload, "--timeout=30s")
        assert "successfully rolled out" in status or "roll out complete" in status


async def test_a_deployment_is_scaled(kubectl: Run, portal: SandboxCluster) -> None:
    """`scale --replicas`: the pods come, and `get` shows them."""
    await kubectl("scale", "deployment/backstage", "--replicas=5")
    await portal.settle(lambda: portal.is_rolled_out("Deployment", SPACE, "backstage"))
    row = (await kubectl("get", "deployment", "backstage", "--no-headers")).split()
    assert row[:4] == ["backstage", "5/5", "5", "5"]
    endpoints = await kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=backstage", "-o", "yaml")
    assert endpoints.count("ready: true") == 5


async def test_a_stuck_rollout_is_told(kubectl: Run, portal: SandboxCluster) -> None:
    """`rollout status` ends with the exceeded deadline, and `describe` with the reason."""
    text = await kubectl("rollout", "status", "deployment/pulling", "--timeout=30s", code=1)
    assert "exceeded its progress deadline" in text
    assert "ImagePullBackOff" in await kubectl("get", "pods", "-l", "app=pulling")
    described = await kubectl("describe", "deployment", "pulling")
    assert "ProgressDeadlineExceeded" in described
    assert "ScalingReplicaSet" in described


async def test_a_crash_loop_is_investigated(kubectl: Run, portal: SandboxCluster) -> None:
    """`get pods`, `describe pod`, `logs` and `logs --previous`, `get events`: the runbook's investigation."""

    def looping() -> bool:
        pods = portal.simulation.world.pods.selected(SPACE, {"matchLabels": {"app": "crashing"}})
        statuses = [item for pod in pods for item in pod["status"].get("containerStatuses") or ()]
        return any(item["restartCount"] >= 2 and "waiting" in item["state"] for item in statuses)

    await portal.settle(looping)
    assert "FATAL [crashing] exiting: error code 1" in await kubectl("logs", "deployment/crashing", "--previous")
    assert "starting" in await kubectl("logs", "deployment/crashing", "--tail=5", "--timestamps")
    described = await kubectl("describe", "pod", "-l", "app=crashing")
    assert "Back-off restarting failed container crashing" in described
    assert "Exit Code:    1" in described
    assert "BackOff" in await kubectl("get", "events", "--field-selector=type=Warning")


async def test_a_node_is_drained(kubectl: Run, portal: SandboxCluster) -> None:
    """`drain` evicts within the budget; the pods come up elsewhere, the node's daemons stay."""
    await kubectl("drain", "node-0", "--ignore-daemonsets", "--timeout=60s")
    await portal.settle(lambda: portal.is_rolled_out("Deployment", SPACE, "backstage"))
    left = await kubectl("get", "pods", "-A", "--field-selector=spec.nodeName=node-0", "--no-headers")
    assert [line.split()[0] for line in left.splitlines()] == ["monitoring"]
    assert "SchedulingDisabled" in await kubectl("get", "node", "node-0")


async def test_a_namespace_is_deleted(kubectl: Run) -> None:
    """`delete namespace` waits until all in it is gone."""
    await kubectl("delete", "namespace", "dev-portal", "--timeout=30s")
    assert "not found" in await kubectl("get", "namespace", "dev-portal", code=1)
