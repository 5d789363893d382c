"""Endpoints and EndpointSlices: the ready pods behind every Service that has a selector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.indexes import SelectorIndex
from remediator.sandbox.controllers.objects import is_going, is_ready, key_of, labels_of, owner_reference
from remediator.sandbox.controllers.world import World
from remediator.sandbox.history import Change
from remediator.sandbox.resources import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES, GroupResource, Json

_ZONE = "topology.kubernetes.io/zone"


class EndpointsController:
    """Follows pods for the Services that select them."""

    watches = (SERVICES, PODS)

    def __init__(self, world: World) -> None:
        """Work in `world`."""
        self._world = world
        self._selectors = SelectorIndex()

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield a Service that changed, or those whose pod came, went, or changed its readiness or labels."""
        if change.resource == SERVICES:
            selector = (change.object.get("spec") or {}).get("selector")
            gone = change.kind == "DELETED" or not selector
            self._selectors.put((change.namespace, change.name), None if gone else {"matchLabels": selector})
            yield change.namespace, change.name
            return
        before, after = change.previous, change.object
        if change.kind != "MODIFIED" or before is None or _face(before) != _face(after):
            yield from dict.fromkeys(self._selectors.selecting(after))
            if before is not None and labels_of(before) != labels_of(after):
                yield from self._selectors.selecting(before)

    def reconcile(self, key: Key) -> None:
        """Bring the Endpoints and the EndpointSlice of one Service up to date."""
        service = self._world.store.find(SERVICES, *key)
        if service is None or is_going(service):
            self._world.store.remove(ENDPOINTS, *key)
            return
        selector = service["spec"].get("selector")
        if not selector:
            return
        pods = self._world.pods.selected(key[0], {"matchLabels": selector})
        pods = [pod for pod in pods if (pod.get("status") or {}).get("podIP")]
        self._put(ENDPOINTS, _endpoints(service, [pod for pod in pods if not is_going(pod)]))
        self._slice(service, pods)

    def _slice(self, service: Json, pods: Sequence[Json]) -> None:
        owned = self._world.owned(service, ENDPOINT_SLICES)
        metadata = service["metadata"]
        name = owned[0]["metadata"]["name"] if owned else f"{metadata['name']}-{self._world.store.ids.suffix()}"
        endpoints = [self._endpoint(pod) for pod in pods]
        self._put(
            ENDPOINT_SLICES,
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": name,
                    "generateName": f"{metadata['name']}-",
                    "namespace": metadata["namespace"],
                    "labels": {
                        **labels_of(service),
                        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                        "kubernetes.io/service-name": metadata["name"],
                    },
                    "ownerReferences": [owner_reference(service)],
                },
                "addressType": "IPv4",
                "endpoints": endpoints or None,
                "ports": _ports(service, pods) if endpoints else None,
            },
        )

    def _endpoint(self, pod: Json) -> Json:
        going, ready = is_going(pod), is_ready(pod)
        endpoint = {
            "addresses": [pod["status"]["podIP"]],
            "conditions": {"ready": ready and not going, "serving": ready, "terminating": going},
            "targetRef": _reference(pod),
            "nodeName": pod["spec"]["nodeName"],
        }
        node = self._world.store.find(NODES, "", pod["spec"]["nodeName"])
        zone = labels_of(node).get(_ZONE) if node else None
        return {**endpoint, "zone": zone} if zone else endpoint

    def _put(self, resource: GroupResource, obj: Json) -> None:
        there = self._world.store.find(resource, *key_of(obj))
        if there is None:
            self._world.store.create(resource, obj)
        else:
            metadata = {**there["metadata"], **obj["metadata"]}
            self._world.store.mutate(resource, *key_of(obj), lambda _: {**obj, "metadata": metadata})


def _endpoints(service: Json, pods: Sequence[Json]) -> Json:
    metadata = service["metadata"]
    labels = {**labels_of(service), "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    endpoints: Json = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "labels": labels},
    }
    ready = [_address(pod) for pod in pods if is_ready(pod)]
    unready = [_address(pod) for pod in pods if not is_ready(pod)]
    if pods:
        subset: Json = {}
        if ready:
            subset["addresses"] = ready
        if unready:
            subset["notReadyAddresses"] = unready
        endpoints["subsets"] = [{**subset, "ports": _ports(service, pods)}]
    return endpoints


def _address(pod: Json) -> Json:
    return {"ip": pod["status"]["podIP"], "nodeName": pod["spec"]["nodeName"], "targetRef": _reference(pod)}


def _reference(pod: Json) -> Json:
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}


def _ports(service: Json, pods: Sequence[Json]) -> list[Json]:
    ports = []
    for port in service["spec"].get("ports") or ():
        number = _number(port.get("targetPort", port["port"]), pods)
        if number is not None:
            named = {"name": port["name"]} if port.get("name") else {}
            ports.append({**named, "port": number, "protocol": port.get("protocol", "TCP")})
    return ports


def _number(target: int | str, pods: Sequence[Json]) -> int | None:
    if not isinstance(target, str):
        return target
    found = (port for pod in pods for item in pod["spec"]["containers"] for port in item.get("ports") or ())
    return next((port["containerPort"] for port in found if port.get("name") == target), None)


def _face(pod: Json) -> tuple[object, ...]:
    return labels_of(pod), is_ready(pod), is_going(pod), (pod.get("status") or {}).get("podIP")
