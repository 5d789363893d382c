"""Manifests of workloads that behave as asked, and the small company whose cluster the demo and the tests start with.

The builders return plain manifests, as a person would write them; `put` defaults them as the API server does and
stores them. What `behaviour` may be is told in `remediator/sandbox/controllers/__init__.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import msgspec

from remediator.sandbox.controllers.behaviour import BEHAVIOUR, PREFIX
from remediator.sandbox.defaults import fill_in, prepare_create
from remediator.sandbox.resources import GroupResource, Json
from remediator.sandbox.store import Store

NODE_COUNT = 3
_HEALTHY = "healthy"
_ZONES = "abc"
_PORT = 7007
_POSTGRES_PORT = 5432


def template(
    name: str,
    *,
    image: str = "",
    behaviour: str = _HEALTHY,
    timing: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    port: int = _PORT,
) -> Json:
    """Return a pod template with one container; `timing` is such as {"ready-after": "0.3s"}."""
    annotations = {PREFIX + key: value for key, value in (timing or {}).items()}
    if behaviour != _HEALTHY:
        annotations[BEHAVIOUR] = behaviour
    container: Json = {
        "name": name,
        "image": image or f"ghcr.io/backstage/{name}:1.0",
        "ports": [{"name": "main", "containerPort": port, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
    }
    if env:
        container["env"] = [{"name": key, "value": value} for key, value in env.items()]
    metadata: Json = {"labels": {"app": name}}
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": {"containers": [container]}}


def deployment(
    namespace: str,
    name: str,
    *,
    replicas: int = 1,
    behaviour: str = _HEALTHY,
    pods: Json | None = None,
    spec: Json | None = None,
) -> Json:
    """Return a Deployment; `pods` is a template (see `template`) when more than a behaviour is asked of it.

    `spec` is laid over the rest, for strategy, progressDeadlineSeconds, paused and the like.
    """
    return _workload("Deployment", (namespace, name), behaviour, pods, {"replicas": replicas, **(spec or {})})


def stateful_set(
    namespace: str,
    name: str,
    *,
    replicas: int = 1,
    behaviour: str = _HEALTHY,
    pods: Json | None = None,
    spec: Json | None = None,
) -> Json:
    """Return a StatefulSet; arguments as of `deployment`.

    A restart does not reach a set in the default OrderedReady order whose pod crashes, as on a real cluster: give
    `spec={"podManagementPolicy": "Parallel"}` where it should.
    """
    more = {"replicas": replicas, "serviceName": name, **(spec or {})}
    return _workload("StatefulSet", (namespace, name), behaviour, pods, more)


def daemon_set(
    namespace: str, name: str, *, behaviour: str = _HEALTHY, pods: Json | None = None, spec: Json | None = None
) -> Json:
    """Return a DaemonSet; arguments as of `deployment`."""
    return _workload("DaemonSet", (namespace, name), behaviour, pods, spec or {})


def service(namespace: str, name: str, *, port: int = _PORT) -> Json:
    """Return a Service for the pods labelled `app=<name>`."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": name}},
        "spec": {"selector": {"app": name}, "ports": [{"name": "main", "port": port, "targetPort": "main"}]},
    }


def ingress(namespace: str, name: str, host: str) -> Json:
    """Return an Ingress that leads a host to the Service of that name."""
    backend = {"service": {"name": name, "port": {"name": "main"}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"rules": [{"host": host, "http": {"paths": [path]}}]},
        "status": {"loadBalancer": {}},
    }


def budget(namespace: str, name: str, *, min_available: int | str = 1) -> Json:
    """Return a PodDisruptionBudget for the pods labelled `app=<name>`."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"minAvailable": min_available, "selector": {"matchLabels": {"app": name}}},
    }


def pod_quota(namespace: str, name: str, pods: int) -> Json:
    """Return a ResourceQuota on the number of pods."""
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"hard": {"pods": str(pods)}},
    }


def autoscaler(
    namespace: str, name: str, *, least: int = 1, most: int, kind: str = "Deployment", target: int = 70
) -> Json:
    """Return a HorizontalPodAutoscaler of the workload of that name; `target` is percent of the CPU request.

    It takes pods away at once, as on a cluster where that was asked for. How much work there is says the annotation
    `load` of the workload.
    """
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": target}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name},
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": resource}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        },
    }


def scaled_object(namespace: str, name: str, *, least: int | None = None, most: int) -> Json:
    """Return KEDA's ScaledObject of the Deployment of that name."""
    spec: Json = {"scaleTargetRef": {"name": name}, "maxReplicaCount": most}
    spec["triggers"] = [{"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}}]
    if least is not None:
        spec["minReplicaCount"] = least
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata, "spec": spec}


def application(
    name: str, destination: str, *manifests: Json, self_heal: bool = True, ignored: Iterable[Json] = ()
) -> Json:
    """Return Argo CD's Application `name` whose Git has `manifests` (only what it compares) for a namespace."""
    automated = {"prune": True, "selfHeal": self_heal}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "namespace": "argocd",
            "name": name,
            "annotations": {f"{PREFIX}manifests": msgspec.json.encode(manifests).decode()},
        },
        "spec": {
            "project": "default",
            "source": {"repoURL": f"https://git.example.com/{name}.git", "path": ".", "targetRevision": "HEAD"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": destination},
            "syncPolicy": {"automated": automated},
            "ignoreDifferences": list(ignored),
        },
    }


def quota(namespace: str, name: str, **hard: str) -> Json:
    """Return a ResourceQuota; `hard` has `_` where its keys have a dot (`requests_cpu="4"`)."""
    limits = {key.replace("_", "."): value for key, value in hard.items()}
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": limits}}


def limit_range(namespace: str, name: str, **limits: Mapping[str, str]) -> Json:
    """Return a LimitRange for containers; `limits` are max, default and defaultRequest."""
    metadata = {"namespace": namespace, "name": name}
    item = {"type": "Container", **limits}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": [item]}}


def namespace(name: str) -> Json:
    """Return a Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def node(name: str, *, zone: str = "zone-a", cpu: int = 64, memory: str = "256Gi", pods: int = 1000) -> Json:
    """Return a Node with that much room; it is Ready as soon as the cluster moves."""
    room = {"cpu": str(cpu), "ephemeral-storage": "100Gi", "memory": memory, "pods": str(pods)}
    labels = {"kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**labels, "topology.kubernetes.io/zone": zone}},
        "spec": {},
        "status": {
            "capacity": room,
            "allocatable": room,
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": name,
                "containerRuntimeVersion": "containerd://2.1.0",
                "kernelVersion": "6.1.0",
                "kubeProxyVersion": "",
                "kubeletVersion": "v1.36.2",
                "machineID": name,
                "operatingSystem": "linux",
                "osImage": "sandbox",
                "systemUUID": name,
            },
        },
    }


def nodes(count: int = NODE_COUNT, *, pods: int = 1000) -> list[Json]:
    """Return that many nodes, spread over zones."""
    return [node(f"node-{number}", zone=f"zone-{_ZONES[number % len(_ZONES)]}", pods=pods) for number in range(count)]


def portal() -> list[Json]:
    """Return the cluster that the runbook is about: a developer portal, its database, and a stage of it."""
    database = template("postgres", image="postgres:16", env={"MAX_CONNECTIONS": "100"}, port=_POSTGRES_PORT)
    return [
        *nodes(),
        *(namespace(name) for name in ("default", "kube-system", "backstage", "dev-portal", "argocd", "monitoring")),
        deployment("backstage", "backstage", replicas=3),
        service("backstage", "backstage"),
        ingress("backstage", "backstage", "backstage.example.com"),
        budget("backstage", "backstage", min_available=1),
        deployment("backstage", "postgres", pods=database, spec={"strategy": {"type": "Recreate"}}),
        service("backstage", "postgres", port=_POSTGRES_PORT),
        stateful_set("backstage", "redis", replicas=2),
        service("backstage", "redis"),
        daemon_set("monitoring", "node-agent"),
        deployment("dev-portal", "backstage", replicas=2),
        service("dev-portal", "backstage"),
        deployment("argocd", "argocd-server"),
    ]


def fleet(count: int, *, namespace_count: int = 10, replicas: int = 1) -> list[Json]:
    """Return `count` Deployments app-0, app-1, ... over namespaces team-0, team-1, ..., and nodes to hold them."""
    room = max(1000, count * replicas * 2)
    made = [node(f"node-{number}", cpu=room, memory=f"{room}Gi", pods=room) for number in range(NODE_COUNT)]
    made += [namespace(f"team-{number}") for number in range(namespace_count)]
    made += [
        deployment(f"team-{number % namespace_count}", f"app-{number}", replicas=replicas) for number in range(count)
    ]
    return made


def put(store: Store, manifests: Iterable[Json]) -> list[Json]:
    """Store manifests as the API server does, defaults and first status included; returns what is stored.

    KeyError for a kind the sandbox does not serve; AlreadyExistsError for a name that is taken.
    """
    kinds = {(item.group_version, item.kind): item.storage for item in store.catalogue.resources}
    return [_put(store, kinds[manifest["apiVersion"], manifest["kind"]], manifest) for manifest in manifests]


def _put(store: Store, resource: GroupResource, manifest: Json) -> Json:
    fresh = copy.deepcopy(manifest)
    fill_in(resource, fresh)
    prepare_create(resource, fresh)
    return store.create(resource, fresh)


def _workload(kind: str, place: tuple[str, str], behaviour: str, pods: Json | None, spec: Json) -> Json:
    space, name = place
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"namespace": space, "name": name, "labels": {"app": name}},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": template(name, behaviour=behaviour) if pods is None else pods,
            **spec,
        },
    }
