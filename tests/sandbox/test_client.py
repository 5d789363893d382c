"""The sandbox as kubernetes-asyncio sees it: models, patches, watches and errors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kubernetes_asyncio import client, config, watch
from kubernetes_asyncio.client import ApiException

from remediator.sandbox.clock import RealClock
from remediator.sandbox.podlogs import LogLine
from remediator.sandbox.resources import DEPLOYMENTS, PODS, Json
from remediator.sandbox.server import SandboxServer
from remediator.sandbox.store import changed

NAMESPACE = "backstage"
RESTART = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}


def call(api: object, method: str) -> Any:
    """A method of the client whose private keyword arguments (_content_type) its types do not show."""
    return getattr(api, method)


class TalkingSource:
    """Containers that wrote two lines each."""

    def lines(self, pod: Json, container: str, *, previous: bool) -> list[LogLine]:
        """Two lines that name the container."""
        now = RealClock().now()
        return [LogLine(now, f"{container} started"), LogLine(now, f"{container} works")]


async def test_lists_and_reads_models(api: client.ApiClient) -> None:
    """Lists and objects become the client's own models."""
    apps = client.AppsV1Api(api)
    found = await apps.list_namespaced_deployment(NAMESPACE)
    assert [item.metadata.name for item in found.items] == ["backstage", "postgres"]
    one = await apps.read_namespaced_deployment("backstage", NAMESPACE)
    assert one.spec.replicas == 2
    assert one.metadata.resource_version


async def test_pages_through_a_list(api: client.ApiClient) -> None:
    """Limit and continue hand out every object once."""
    apps = client.AppsV1Api(api)
    first = await apps.list_namespaced_deployment(NAMESPACE, limit=1)
    token = first.metadata.to_dict()["_continue"]
    second = await apps.list_namespaced_deployment(NAMESPACE, limit=1, _continue=token)
    assert [item.metadata.name for item in first.items + second.items] == ["backstage", "postgres"]
    assert second.metadata.to_dict()["_continue"] is None


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/strategic-merge-patch+json", {"spec": {"replicas": 5}}),
        ("application/merge-patch+json", {"spec": {"replicas": 5}}),
        ("application/json-patch+json", [{"op": "replace", "path": "/spec/replicas", "value": 5}]),
        (
            "application/apply-patch+yaml",
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "backstage"},
                "spec": {"replicas": 5},
            },
        ),
    ],
)
async def test_patches_by_every_type(api: client.ApiClient, content_type: str, body: Any) -> None:
    """All four kinds of patch change the replicas and bump the generation."""
    apps = client.AppsV1Api(api)
    more = {"field_manager": "tests", "force": True} if "apply" in content_type else {}
    patch = call(apps, "patch_namespaced_deployment")
    answer = await patch("backstage", NAMESPACE, body, _content_type=content_type, **more)
    assert (answer.spec.replicas, answer.metadata.generation) == (5, 2)


async def test_stale_version_is_a_conflict(api: client.ApiClient) -> None:
    """A patch that carries an old resourceVersion is refused and changes nothing."""
    apps = client.AppsV1Api(api)
    before = await apps.read_namespaced_deployment("backstage", NAMESPACE)
    pinned = {**RESTART, "metadata": {"resourceVersion": before.metadata.resource_version}}
    await apps.patch_namespaced_deployment("backstage", NAMESPACE, pinned)
    with pytest.raises(ApiException) as refused:
        await apps.patch_namespaced_deployment("backstage", NAMESPACE, pinned)
    assert refused.value.status == 409


async def test_errors_have_their_status(cluster: SandboxServer, api: client.ApiClient) -> None:
    """404, 403, 401 and 422 arrive as what they are."""
    apps = client.AppsV1Api(api)
    with pytest.raises(ApiException) as absent:
        await apps.read_namespaced_deployment("nope", NAMESPACE)
    with pytest.raises(ApiException) as invalid:
        await apps.patch_namespaced_deployment("backstage", NAMESPACE, {"spec": {"replicas": -1}})
    api.configuration.api_key = {"BearerToken": f"Bearer {cluster.add_service_account(NAMESPACE, 'remediator')}"}
    with pytest.raises(ApiException) as forbidden:
        await apps.read_namespaced_deployment("postgres", NAMESPACE)
    api.configuration.api_key = {"BearerToken": "Bearer nonsense"}
    with pytest.raises(ApiException) as unknown:
        await apps.read_namespaced_deployment("backstage", NAMESPACE)
    assert [error.value.status for error in (absent, invalid, forbidden, unknown)] == [404, 422, 403, 401]


async def test_scales_and_evicts(cluster: SandboxServer, api: client.ApiClient) -> None:
    """The scale subresource changes replicas only; an eviction marks the pod and begins its deletion."""
    apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
    body = {"metadata": {"annotations": {"lost": "yes"}}, "spec": {"replicas": 4}}
    scale = await apps.patch_namespaced_deployment_scale("backstage", NAMESPACE, body)
    assert scale.spec.replicas == 4
    stored = cluster.store.get(DEPLOYMENTS, NAMESPACE, "backstage")
    assert "lost" not in stored["metadata"]["annotations"]
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="web-1", namespace=NAMESPACE))
    await core.create_namespaced_pod_eviction("web-1", NAMESPACE, eviction)
    pod = await core.read_namespaced_pod("web-1", NAMESPACE)
    assert pod.metadata.deletion_timestamp is not None
    assert "DisruptionTarget" in [condition.type for condition in pod.status.conditions]


async def test_reads_logs(cluster: SandboxServer, api: client.ApiClient) -> None:
    """Logs come from the source as text; tail and a previous instance that never was are looked at."""
    cluster.log_source = TalkingSource()
    core = client.CoreV1Api(api)
    assert await core.read_namespaced_pod_log("web-1", NAMESPACE) == "web started\nweb works\n"
    assert await core.read_namespaced_pod_log("web-1", NAMESPACE, tail_lines=1) == "web works\n"
    with pytest.raises(ApiException) as refused:
        await core.read_namespaced_pod_log("web-1", NAMESPACE, previous=True)
    assert refused.value.status == 400


async def test_watches_changes(cluster: SandboxServer, api: client.ApiClient) -> None:
    """A watch from a list's version sees each later change once, in order."""
    apps = client.AppsV1Api(api)
    listed = await apps.list_namespaced_deployment(NAMESPACE)
    seen: list[tuple[str, int]] = []

    async def follow() -> None:
        version = listed.metadata.resource_version
        async with watch.Watch() as stream:
            lister = apps.list_namespaced_deployment
            async for event in stream.stream(lister, NAMESPACE, resource_version=version, timeout_seconds=20):
                seen.append((event["type"], event["object"].spec.replicas))
                if event["type"] == "DELETED":
                    stream.stop()

    async with asyncio.TaskGroup() as group, asyncio.timeout(15):
        group.create_task(follow())
        for replicas in (3, 4):
            current = cluster.store.get(DEPLOYMENTS, NAMESPACE, "backstage")
            cluster.store.update(DEPLOYMENTS, changed(current, ("spec", "replicas"), replicas))
            await asyncio.sleep(0)
        cluster.store.remove(DEPLOYMENTS, NAMESPACE, "backstage")
    assert seen == [("MODIFIED", 3), ("MODIFIED", 4), ("DELETED", 4)]


async def test_watch_of_a_forgotten_version_is_expired(cluster: SandboxServer, api: client.ApiClient) -> None:
    """The client gets 410 for a version that the history has dropped."""
    cluster.store.history.compact(cluster.store.version)
    apps = client.AppsV1Api(api)
    stream = watch.Watch().stream(apps.list_namespaced_deployment, NAMESPACE, resource_version="2", timeout_seconds=1)
    async with asyncio.timeout(10):
        with pytest.raises(ApiException) as expired:
            await anext(stream)
    assert expired.value.status == 410


async def test_custom_resources(api: client.ApiClient) -> None:
    """Applications are made, patched on the main path and refuse a strategic merge."""
    custom = client.CustomObjectsApi(api)
    place = ("argoproj.io", "v1alpha1", NAMESPACE, "applications")
    body = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "web"},
        "spec": {"project": "default", "destination": {"namespace": NAMESPACE}},
    }
    await custom.create_namespaced_custom_object(*place, body)
    merge = "application/merge-patch+json"
    patch = call(custom, "patch_namespaced_custom_object")
    patched = await patch(*place, "web", {"status": {"health": {"status": "Healthy"}}}, _content_type=merge)
    assert (patched["status"]["health"]["status"], patched["metadata"]["generation"]) == ("Healthy", 2)
    strategic = "application/strategic-merge-patch+json"
    with pytest.raises(ApiException) as refused:
        await patch(*place, "web", {"status": {}}, _content_type=strategic)
    assert refused.value.status == 415


async def test_kubeconfig_loads(cluster: SandboxServer) -> None:
    """The kubeconfig that the server hands out is one that the client can use."""
    configuration = client.Configuration()
    await config.load_kube_config_from_dict(cluster.kubeconfig(), client_configuration=configuration)
    async with client.ApiClient(configuration) as opened:
        pods = await client.CoreV1Api(opened).list_namespaced_pod(NAMESPACE)
    assert [item.metadata.name for item in pods.items] == ["web-1"]


async def test_status_is_not_written_by_the_main_path(cluster: SandboxServer, api: client.ApiClient) -> None:
    """A patch of status on the main path is dropped in silence; the status path takes it."""
    apps = client.AppsV1Api(api)
    merge = "application/merge-patch+json"
    body = {"status": {"readyReplicas": 99}}
    answer = await call(apps, "patch_namespaced_deployment")("backstage", NAMESPACE, body, _content_type=merge)
    assert answer.status.ready_replicas == 2
    answer = await call(apps, "patch_namespaced_deployment_status")("backstage", NAMESPACE, body, _content_type=merge)
    assert (answer.status.ready_replicas, answer.metadata.generation) == (99, 1)
    assert cluster.store.get(PODS, NAMESPACE, "web-1")["status"]["phase"] == "Running"
