"""The runbook's Investigation commands as reads: pods, describe, events, logs, endpoints, ingress, history, nodes, top.

All parts are read at once under one deadline, and each fails alone. Everything passes the allow-lists of ``summaries``
and then ``redaction`` before it is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec

from remediator import redaction
from remediator.adapters.kubernetes import summaries
from remediator.adapters.kubernetes.budget import fit
from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.logs import LogSource, choose, read_log
from remediator.adapters.kubernetes.names import (
    apps_path,
    core_path,
    group_path,
    is_name,
    is_namespace,
    selector_text,
    target_path,
)
from remediator.adapters.kubernetes.shapes import Workload
from remediator.adapters.kubernetes.summaries import Json, dig, items_of, keep, name_of
from remediator.model.errors import ClusterError
from remediator.model.plan import CaptureEvidence
from remediator.model.target import Kind
from remediator.ports.cluster import EvidenceBundle

MOST_PODS = 50
MOST_NODES = 5
MOST_EVENTS = 100
MOST_OF_A_LIST = 200
EVENT_PAGES = 4
EVENTS_A_PAGE = 500

_METRICS = "metrics.k8s.io/v1beta1"


class KubernetesEvidence:
    """Implements ports.cluster.EvidenceReader."""

    def __init__(self, client: KubeClient) -> None:
        """Take the client to read with."""
        self._client = client

    async def capture(self, step: CaptureEvidence) -> EvidenceBundle:
        """Read what can be read before the step's deadline; what could not is named in ``missing`` with the reason."""
        if not (is_namespace(step.target.namespace) and is_name(step.target.name)):
            return EvidenceBundle(parts={}, missing={"workload": "not a name that Kubernetes allows"})
        capture = _Capture(self._client, step)
        await capture.run()
        parts, cut = fit(capture.parts, step.max_bytes)
        truncated = tuple(sorted({*cut, *capture.truncated}))
        return EvidenceBundle(parts=parts, truncated=truncated, missing=capture.missing)


class _Capture:
    """One capture on its way: what was seen so far, and what could not be."""

    def __init__(self, client: KubeClient, step: CaptureEvidence) -> None:
        self._client = client
        self._step = step
        self._namespace = step.target.namespace
        self._deadline = asyncio.get_running_loop().time() + step.deadline_s
        self._workload: Json | None = None
        self._selector = ""
        self._pods: list[Json] = []
        self.parts: dict[str, Any] = {}
        self.missing: dict[str, str] = {}
        self.truncated: set[str] = set()

    async def run(self) -> None:
        await self._part("workload", self._read_workload())
        await self._part("pods", self._read_pods())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._part("events", self._read_events()))
            group.create_task(self._part("rollout_history", self._read_history()))
            group.create_task(self._part("endpoints", self._read_endpoints()))
            group.create_task(self._part("usage/pods", self._read_pod_usage()))
            group.create_task(self._part("usage/nodes", self._read_node_usage()))
            group.create_task(self._part("nodes", self._read_nodes()))
            for source in choose(self._pods):
                group.create_task(self._part(source.part, self._read_log(source)))

    async def _part(self, name: str, reading: Coroutine[Any, Any, Any]) -> None:
        """Keep what a reading gives under its name; whatever goes wrong concerns this part alone."""
        try:
            async with asyncio.timeout_at(self._deadline):
                seen = await reading
        except ClusterError as error:
            self.missing[name] = error.message
        except TimeoutError:
            self.missing[name] = f"not read within {self._step.deadline_s:g} s"
        else:
            # A log is redacted as it is read, line by line; documents are here.
            self.parts[name] = seen if isinstance(seen, str) else await _redacted(seen)

    async def _list(self, path: str, query: dict[str, str] | None = None, most: int = MOST_OF_A_LIST) -> list[Json]:
        document = await self._client.read(path, dict[str, Any], {**(query or {}), "limit": str(most)})
        return items_of(document)

    async def _read_workload(self) -> Json:
        document = await self._client.read(target_path(self._step.target), dict[str, Any])
        try:
            self._selector = selector_text(msgspec.convert(document, Workload).spec.selector)
        except msgspec.ValidationError as error:
            raise ClusterError("malformed", f"{self._step.target} has a selector that cannot be read") from error
        self._workload = document
        return _kept(document, summaries.WORKLOAD)

    async def _read_pods(self) -> list[Json]:
        self._pods = await self._list(core_path(self._namespace, "pods"), self._selected(), MOST_PODS)
        if len(self._pods) >= MOST_PODS:
            self.truncated.add("pods")
        return [_kept(pod, summaries.POD) for pod in self._pods]

    async def _read_events(self) -> list[Json]:
        events: list[Json] = []
        query = {"limit": str(EVENTS_A_PAGE)}
        for _ in range(EVENT_PAGES):
            page = await self._client.read(core_path(self._namespace, "events"), dict[str, Any], query)
            events += items_of(page)
            following = dig(page, "metadata", "continue")
            if not following:
                break
            query["continue"] = str(following)
        else:
            self.truncated.add("events")
        pods = [name_of(pod) for pod in self._pods]
        related = summaries.related_events(events, self._step.target.name, pods)
        if len(related) > MOST_EVENTS:
            self.truncated.add("events")
        return [_kept(event, summaries.EVENT) for event in related[-MOST_EVENTS:]]

    async def _read_history(self) -> list[Json]:
        plural = "replicasets" if self._step.target.kind is Kind.DEPLOYMENT else "controllerrevisions"
        items = await self._list(apps_path(self._namespace, plural), self._selected())
        uid = dig(self._workload, "metadata", "uid")
        owned = [
            item
            for item in items
            if any(owner.get("uid") == uid for owner in dig(item, "metadata", "ownerReferences") or [])
        ]
        return summaries.history(owned)

    async def _read_endpoints(self) -> list[Json]:
        labels = dig(self._workload, "spec", "template", "metadata", "labels") or {}
        services = summaries.services_of(await self._list(core_path(self._namespace, "services")), labels)
        names = {name_of(service) for service in services}
        seen = [_kept(service, summaries.SERVICE) for service in services]
        if names:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._part("ingress", self._read_ingresses(names)))
                group.create_task(self._part("endpoints/slices", self._read_slices(names)))
        return seen

    async def _read_slices(self, services: set[str]) -> list[Json]:
        selector = f"kubernetes.io/service-name in ({','.join(sorted(services))})"
        path = group_path("discovery.k8s.io/v1", self._namespace, "endpointslices")
        return [_kept(item, summaries.ENDPOINT_SLICE) for item in await self._list(path, {"labelSelector": selector})]

    async def _read_ingresses(self, services: set[str]) -> list[Json]:
        items = await self._list(group_path("networking.k8s.io/v1", self._namespace, "ingresses"))
        return [_kept(item, summaries.INGRESS) for item in summaries.ingresses_of(items, services)]

    async def _read_pod_usage(self) -> list[Json]:
        items = await self._list(group_path(_METRICS, self._namespace, "pods"), self._selected())
        return [_kept(item, summaries.POD_USAGE) for item in items]

    async def _read_node_usage(self) -> list[Json]:
        nodes = self._nodes()
        items = await self._list(f"/apis/{_METRICS}/nodes")
        return [_kept(item, summaries.NODE_USAGE) for item in items if name_of(item) in nodes]

    async def _read_nodes(self) -> list[Json]:
        nodes = self._nodes()
        if len(nodes) > MOST_NODES:
            self.truncated.add("nodes")
        found = [await self._client.read(f"/api/v1/nodes/{name}", dict[str, Any]) for name in nodes[:MOST_NODES]]
        return [_kept(node, summaries.NODE) for node in found]

    async def _read_log(self, source: LogSource) -> str:
        text, cut = await read_log(self._client, self._namespace, source, self._step.log_lines)
        if cut:
            self.truncated.add(source.part)
        return text

    def _selected(self) -> dict[str, str]:
        if not self._selector:
            raise ClusterError("not_found", "the workload could not be read, so its pods are not known")
        return {"labelSelector": self._selector}

    def _nodes(self) -> list[str]:
        names = {str(dig(pod, "spec", "nodeName") or "") for pod in self._pods}
        return sorted(name for name in names if is_name(name))


async def _redacted(seen: Any) -> Any:
    """Redact a document, or a list of them one by one: each takes a millisecond or so, and others come in between."""
    await asyncio.sleep(0)
    if not isinstance(seen, list):
        return redaction.tree(seen)
    clean = []
    for document in seen:
        clean.append(redaction.tree(document))
        await asyncio.sleep(0)
    return clean


def _kept(document: Json, allowed: Json) -> Json:
    kept: Json = keep(document, allowed)
    return kept
