"""The sandbox as kubectl sees it; each test runs the real program."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from remediator.adapters.kubernetes.policy import manifest
from remediator.sandbox.resources import DEPLOYMENTS, EVENTS
from remediator.sandbox.server import SandboxServer
from tests.sandbox.test_client import TalkingSource

NAMESPACE = "backstage"
KUBECTL = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")

pytestmark = [
    pytest.mark.kubectl,
    pytest.mark.skipif(KUBECTL is None, reason="the kubectl program is not installed"),
]

Run = Callable[..., Awaitable[str]]


@pytest.fixture
def kubectl(cluster: SandboxServer, tmp_path: Path) -> Run:
    """Runs kubectl against the server; returns what it printed, and fails with it on another exit code."""
    file = tmp_path / "kubeconfig"
    cluster.write_kubeconfig(file, namespace=NAMESPACE)

    async def run(*arguments: str, code: int = 0) -> str:
        process = await asyncio.create_subprocess_exec(
            str(KUBECTL),
            f"--kubeconfig={file}",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"HOME": str(tmp_path)},
        )
        output, _ = await process.communicate()
        assert process.returncode == code, output.decode()
        return output.decode()

    return run


async def test_gets_a_table(kubectl: Run) -> None:
    """`get` prints the columns that the server fills."""
    lines = (await kubectl("get", "deployments")).splitlines()
    assert lines[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert lines[1].split()[:4] == ["backstage", "2/2", "2", "2"]
    assert "1/1" in await kubectl("get", "pods")


async def test_describes(kubectl: Run) -> None:
    """`describe` finds object, ReplicaSets and events."""
    text = await kubectl("describe", "deployment", "backstage")
    assert "2 desired | 2 updated | 2 total | 2 available" in text


async def test_restarts_and_scales(cluster: SandboxServer, kubectl: Run) -> None:
    """`rollout restart`, `scale` and `patch` write what they should, once each."""
    await kubectl("rollout", "restart", "deployment/backstage")
    await kubectl("scale", "deployment/backstage", "--replicas=4")
    await kubectl("patch", "deployment", "backstage", "-p", '{"metadata":{"labels":{"tier":"web"}}}')
    stored = cluster.store.get(DEPLOYMENTS, NAMESPACE, "backstage")
    assert "kubectl.kubernetes.io/restartedAt" in stored["spec"]["template"]["metadata"]["annotations"]
    assert stored["spec"]["replicas"] == 4
    assert stored["metadata"]["labels"]["tier"] == "web"
    writes = cluster.requests.writes("deployments")
    assert [record.status for record in writes] == [200, 200, 200]
    assert [record.user_agent.startswith("kubectl") for record in writes] == [True, True, True]


async def test_prints_logs_and_events(cluster: SandboxServer, kubectl: Run) -> None:
    """`logs` prints the source's lines, `events` what is stored."""
    cluster.log_source = TalkingSource()
    assert await kubectl("logs", "web-1", "--tail=1") == "web works\n"
    about = {"kind": "Pod", "name": "web-1", "namespace": NAMESPACE}
    metadata = {"name": "web-1.1", "namespace": NAMESPACE}
    event = {"metadata": metadata, "involvedObject": about, "reason": "BackOff", "message": "again", "type": "Warning"}
    cluster.store.seed(EVENTS, [event])
    assert "BackOff" in await kubectl("events")


async def test_applies_and_deletes(cluster: SandboxServer, kubectl: Run, tmp_path: Path) -> None:
    """Server-side apply makes an object and `delete` takes it away."""
    manifest = tmp_path / "map.yaml"
    manifest.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata: {a: '1'}\n")
    await kubectl("apply", "--server-side", "--validate=false", "-f", str(manifest))
    assert await kubectl("get", "configmap", "notes", "-o", "jsonpath={.data.a}") == "1"
    await kubectl("delete", "configmap", "notes")
    assert "NotFound" in await kubectl("get", "configmap", "notes", code=1)


async def test_shows_the_resources(kubectl: Run) -> None:
    """Discovery lists what is served, with short names."""
    text = await kubectl("api-resources")
    assert "deploy" in text
    assert "argoproj.io/v1alpha1" in text


async def test_applies_the_admission_policies(kubectl: Run, cluster: SandboxServer, tmp_path: Path) -> None:
    """What `remediator policy` prints is applied as any manifest is, twice to the same, and then holds."""
    file = tmp_path / "policy.yaml"
    file.write_text(manifest("robot", 20), encoding="utf-8")
    for word in ("created", "configured|unchanged"):
        lines = (await kubectl("apply", "--validate=false", "-f", str(file))).splitlines()
        assert len(lines) == 2 * 3
        assert all(re.search(word, line) for line in lines), lines
    patch = ("patch", "deployment", "backstage", "--type=merge", "-p", '{"spec":{"paused":true}}')
    token = cluster.add_user("robot", "system:masters")
    cluster.write_kubeconfig(tmp_path / "kubeconfig", token=token, namespace=NAMESPACE)
    said = await kubectl(*patch, code=1)
    assert "remediator-workloads" in said
    assert "every write must carry remediator.io/action and remediator.io/fence" in said
