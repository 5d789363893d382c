"""Replays a recorded scenario against the sandbox: seed, ask, translate, compare.

Uids, resourceVersions, continue tokens and generated names differ between the recorded cluster and the sandbox: each is
learned by walking the two answers side by side, and put into later requests. What depends on the moment, on chance or
on controllers (none run here) is not compared: timestamps, messages, generated names, addresses and the status of
workloads. Entries that have a `source` are no contract for a server alone; what they show is taken over into the
store, so that the next entries find the state that the recorded ones had.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from remediator.sandbox.resources import (
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    Catalogue,
    GroupResource,
    Resource,
)
from remediator.sandbox.server import SandboxServer

TRANSCRIPTS = Path(__file__).parents[1] / "data" / "kubernetes-transcripts"
NAMESPACE = "backstage"
SERVICE_ACCOUNT = "remediator"

Json = dict[str, Any]
Step = Callable[["Replay"], None]

_IGNORED_KEYS = {
    "uid", "resourceVersion", "managedFields", "message", "creationTimestamp", "deletionTimestamp", "time",
    "lastUpdateTime", "lastTransitionTime", "lastScaleTime", "startTime", "startedAt", "finishedAt", "containerID",
    "imageID", "podIP", "podIPs", "hostIP", "hostIPs", "clusterIP", "clusterIPs", "deployment.kubernetes.io/revision",
    "firstTimestamp", "lastTimestamp", "eventTime", "token", "expirationTimestamp", "selfLink", "continue",
    "storageVersionHash", "serverAddress", "gitCommit", "buildDate", "goVersion", "compiler",
    "extra", "nonResourceRules",
}  # fmt: skip
# Kinds whose status controllers write.
_CONTROLLED = {
    "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Pod",
    "PersistentVolumeClaim", "Scale",
}  # fmt: skip
_STATUS_KEYS = ("status", "reason", "code")
_DETAIL_KEYS = ("kind", "group", "name", "retryAfterSeconds")
_LEARNED = {"uid", "resourceVersion", "continue"}
_WRITES = {"POST", "PUT", "PATCH"}


def load(name: str) -> list[Json]:
    """Return the entries of a transcript."""
    entries: list[Json] = msgspec.json.decode((TRANSCRIPTS / name).read_bytes())
    return entries


def names() -> list[str]:
    """Return the names of all transcripts."""
    return sorted(path.name for path in TRANSCRIPTS.glob("*.json"))


@dataclass
class Scenario:
    """What a transcript needs beyond its entries: unrecorded steps, bodies that were trimmed, another catalogue."""

    without_groups: tuple[str, ...] = ()
    before: dict[int, Step] = field(default_factory=dict)
    during: dict[int, Step] = field(default_factory=dict)
    bodies: dict[int, Callable[[Replay], Any]] = field(default_factory=dict)
    accepts: dict[int, str] = field(default_factory=dict)
    first: Step | None = None
    also: tuple[int, ...] = ()
    patience: dict[int, str] = field(default_factory=dict)


@dataclass
class Replay:
    """One scenario under way."""

    server: SandboxServer
    session: aiohttp.ClientSession
    url: str
    scenario: Scenario
    known: dict[str, str] = field(default_factory=dict)
    versions: dict[str, tuple[str, str]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def resource_at(self, path: str) -> Resource | None:
        """Return the resource that a recorded path names, None for any other path."""
        match = re.match(r"^/(?:api/(v1)|apis/([^/]+)/([^/]+))(?:/watch)?(?:/namespaces/[^/]+)?/([^/]+)", path)
        if match is None:
            return None
        version, group, group_version, plural = match.groups()
        return self.server.store.catalogue.find(group or "", version or group_version, plural)

    # Seeding and taking over

    def seed(self, entries: list[Json]) -> int:
        """Put in what the leading GETs show; returns how many entries that were."""
        if self.scenario.first is not None:
            self.scenario.first(self)
        for index in self.scenario.also:
            self.absorb(entries[index], only_new=True)
        for index, entry in enumerate(entries):
            request, response = entry["request"], entry["response"]
            if request["method"] != "GET" or response["status"] != 200 or "watch" in request["query"]:
                return index
            self.absorb(entry, only_new=True)
        return len(entries)

    def absorb(self, entry: Json, *, only_new: bool = False) -> None:
        """Take the objects that an answer shows into the store; what is there gets their status and annotations."""
        resource = self.resource_at(entry["request"]["path"])
        body = entry["response"]["body"]
        if resource is None or not isinstance(body, dict) or resource.group == "events.k8s.io":
            return
        whole = not any("spec" in part or "status" in part for part in entry.get("trimmed", ()))
        items = body.get("items") if body.get("kind") == f"{resource.kind}List" else [body]
        for item in items or ():
            if body.get("kind") not in {resource.kind, f"{resource.kind}List"} or "name" not in item["metadata"]:
                continue
            self._absorb_one(resource, item, only_new=only_new, whole=whole)

    def _absorb_one(self, resource: Resource, item: Json, *, only_new: bool, whole: bool) -> None:
        store, metadata = self.server.store, item["metadata"]
        namespace = metadata.get("namespace", NAMESPACE) if resource.namespaced else ""
        present = store.find(resource.storage, namespace, metadata["name"])
        if present is not None and metadata.get("uid", present["metadata"]["uid"]) == present["metadata"]["uid"]:
            if only_new:
                return
            update = {**present, **{key: item[key] for key in ("status",) if key in item}}
            if "annotations" in metadata:
                update["metadata"] = {**present["metadata"], "annotations": metadata["annotations"]}
            store.mutate(resource.storage, namespace, metadata["name"], lambda _: update)
            self._restore_generation(resource.storage, namespace, metadata)
        else:
            store.seed(resource.storage, [item if whole else _completed(resource, item)])
        ours = store.get(resource.storage, namespace, metadata["name"])
        self.learn(item, ours)

    def _restore_generation(self, storage: GroupResource, namespace: str, metadata: Json) -> None:
        if "generation" in metadata:
            store = self.server.store
            current = store.get(storage, namespace, metadata["name"])
            fixed = {**current["metadata"], "generation": metadata["generation"]}
            store.seed(storage, [{**current, "metadata": fixed}])

    # Asking

    async def ask(self, index: int, entry: Json) -> tuple[int, dict[str, Any], Any]:
        """Send the request of an entry, translated; returns status, headers and body."""
        request = entry["request"]
        accept = self.scenario.accepts.get(index) or request.get("accept", "application/json")
        headers = {"User-Agent": "OpenAPI-Generator/36.1.0/python", "Accept": accept}
        token = self.tokens.get(request["user"])
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if request["content_type"]:
            headers["Content-Type"] = request["content_type"]
        body = self.scenario.bodies[index](self) if index in self.scenario.bodies else request["body"]
        data = self._encode(body)
        query = {key: self.known.get(value, value) for key, value in request["query"].items()}
        if query.get("watch", "").lower() == "true" and "timeoutSeconds" in query:
            query["timeoutSeconds"] = self.scenario.patience.get(index, "1")
        path = "/".join(self.known.get(part, part) for part in request["path"].split("/"))
        kwargs: Json = {"headers": headers, "params": query, "data": data, "skip_auto_headers": ["Content-Type"]}
        async with self.session.request(request["method"], self.url + path, **kwargs) as response:
            if index in self.scenario.during:
                self.scenario.during[index](self)
            text = await response.text()
            no_warnings: list[str] = []
            answer_headers: Json = dict(response.headers)
            answer_headers["warnings"] = response.headers.getall("Warning", no_warnings)
            status = response.status
        return status, answer_headers, _decoded(text, watch=isinstance(entry["response"]["body"], list))

    def _encode(self, body: Any) -> BytesIO | None:
        if body is None:
            return None
        return BytesIO(body.encode() if isinstance(body, str) else msgspec.json.encode(self.translate(body)))

    def translate(self, value: Any, key: str = "") -> Any:
        """Return a recorded request body with the sandbox's own ids in it."""
        if isinstance(value, dict):
            if str(value.get("path", "")).startswith("/metadata/") and isinstance(value.get("value"), str):
                return {**value, "value": self.known.get(value["value"], value["value"])}
            return {name: self.translate(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self.translate(item, key) for item in value]
        if key == "token" and value == "REDACTED":
            return self.tokens["narrow"]
        if key in {"uid", "resourceVersion", "name"} and isinstance(value, str):
            return (
                self.known.get(value, value)
                if key != "token"
                else self.tokens["narrow"]
                if value == "REDACTED"
                else value
            )
        return value

    def learn(self, recorded: Any, ours: Any) -> None:
        """Remember by which ids of the sandbox the recorded ones go."""
        if isinstance(recorded, dict) and isinstance(ours, dict):
            generated = {"name"} if "generateName" in recorded else set()
            for key, value in recorded.items():
                if key in _LEARNED | generated:
                    if isinstance(ours.get(key), str) and isinstance(value, str):
                        self.known[value] = ours[key]
                else:
                    self.learn(value, ours.get(key))
        elif isinstance(recorded, list) and isinstance(ours, list):
            for value, other in zip(recorded, ours, strict=False):
                self.learn(value, other)

    # Comparing

    def differences(self, entry: Json, status: int, headers: dict[str, Any], body: Any) -> list[str]:
        """Return what the sandbox answered otherwise than was recorded."""
        wanted = entry["response"]
        found: list[str] = []
        if status != wanted["status"]:
            return [f"status {status} instead of {wanted['status']}: {str(body)[:600]}"]
        if isinstance(body, str) != isinstance(wanted["body"], str):
            return [f"body is {type(body).__name__} instead of {type(wanted['body']).__name__}"]
        if ("retry-after" in wanted["headers"]) != ("Retry-After" in headers):
            found.append("retry-after is missing or too much")
        if len(wanted["headers"].get("warning", [])) != len(headers["warnings"]):
            found.append(f"warnings {headers['warnings']} instead of {wanted['headers'].get('warning')}")
        trimmed = [_pattern(part) for part in entry.get("trimmed", ())]
        if isinstance(body, list) and "hung up" in entry["note"]:
            body = body[: len(wanted["body"])]
        if not isinstance(body, str):
            found += _compare(wanted["body"], body, "", trimmed)
            found += self._compare_version(entry, body)
        self.learn(wanted["body"], body)
        return found

    def _compare_version(self, entry: Json, body: Any) -> Iterator[str]:
        """Look whether the version moved exactly when the recorded one did."""
        wanted = entry["response"]["body"]
        if not isinstance(wanted, dict) or "uid" not in wanted.get("metadata", {}):
            return
        uid, theirs = wanted["metadata"]["uid"], wanted["metadata"].get("resourceVersion", "")
        ours = body["metadata"].get("resourceVersion", "")
        before = self.versions.get(uid)
        self.versions[uid] = (theirs, ours)
        if before is None:
            return
        if theirs == before[0] and ours != before[1]:
            yield f"resourceVersion moved from {before[1]} to {ours}, the recorded one stayed"
        request = entry["request"]
        written = request["method"] in _WRITES and request["query"].get("dryRun") != "All"
        if written and theirs != before[0] and ours == before[1]:
            yield "resourceVersion stayed, the recorded one moved"


def _decoded(text: str, *, watch: bool) -> Any:
    if watch:
        return [msgspec.json.decode(line) for line in text.splitlines() if line]
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _completed(resource: Resource, item: Json) -> Json:
    """Return a pod whose spec or status was trimmed with as much of them as the server looks at."""
    if resource.kind != "Pod":
        return item
    owner = item["metadata"].get("generateName", item["metadata"]["name"]).split("-")[0]
    return pod(item["metadata"]["name"], owner) | item


def pod(name: str, *containers: str) -> Json:
    """Return a pod that runs and is ready, as far as the server looks at it."""
    return {
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "nodeName": "hollow-0",
            "containers": [{"name": item, "image": "x", "resources": {}} for item in containers],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {"name": item, "ready": True, "restartCount": 0, "image": "x", "imageID": "x"} for item in containers
            ],
        },
    }


def _pattern(trimmed: str) -> str:
    return trimmed.split(":", maxsplit=1)[0]


def _is_trimmed(path: str, patterns: list[str]) -> bool:
    plain = re.sub(r"\[\d+\]", ".*", path).lstrip(".")
    return any(plain == pattern or plain.startswith(pattern + ".") for pattern in patterns)


def _compare(wanted: Any, ours: Any, path: str, trimmed: list[str]) -> list[str]:
    if _is_trimmed(path, trimmed):
        return []
    if isinstance(wanted, dict) and wanted.get("kind") == "Status" and "status" in wanted:
        return _compare_status(wanted, ours)
    if isinstance(wanted, dict):
        return _compare_objects(wanted, ours, path, trimmed)
    if isinstance(wanted, list):
        return _compare_lists(wanted, ours, path, trimmed)
    return [] if wanted == ours else [f"{path}: {ours!r} instead of {wanted!r}"]


def _compare_objects(wanted: Json, ours: Any, path: str, trimmed: list[str]) -> list[str]:
    if not isinstance(ours, dict):
        return [f"{path}: {ours!r} instead of an object"]
    ignored = _ignored(wanted, path)
    found: list[str] = []
    for key in [key for key in wanted if key not in ignored]:
        place = f"{path}.{key}"
        if key in ours:
            found += _compare(wanted[key], ours[key], place, trimmed)
        elif not _is_trimmed(place, trimmed):
            found.append(f"{place}: missing, {str(wanted[key])[:200]} was recorded")
    for key in ours.keys() - wanted.keys() - ignored if _is_exact(path) else ():
        if not _is_trimmed(f"{path}.{key}", trimmed):
            found.append(f"{path}.{key}: {str(ours[key])[:200]} was not recorded")
    return found


def _ignored(wanted: Json, path: str) -> set[str]:
    ignored = set(_IGNORED_KEYS)
    if wanted.get("kind") in _CONTROLLED or (path.startswith(".items") and "spec" in wanted):
        ignored.add("status")
    if "generateName" in wanted:
        ignored.add("name")
    return ignored


def _is_exact(path: str) -> bool:
    """Tell whether what was not recorded must not be there: everywhere but in lists of what is served."""
    return not path.startswith((".resources", ".groups")) and path != ""


def _compare_lists(wanted: list[Any], ours: Any, path: str, trimmed: list[str]) -> list[str]:
    if not isinstance(ours, list):
        return [f"{path}: {ours!r} instead of a list"]
    name = path.lstrip(".")
    if name in trimmed or name in {"resources", "groups"}:
        return _compare_subset(wanted, ours, path, trimmed)
    if len(wanted) != len(ours):
        return [f"{path}: {len(ours)} items instead of {len(wanted)}: {str(ours)[:300]}"]
    return [
        line
        for index, (value, other) in enumerate(zip(wanted, ours, strict=True))
        for line in _compare(value, other, f"{path}[{index}]", trimmed)
    ]


def _compare_subset(wanted: list[Any], ours: list[Any], path: str, trimmed: list[str]) -> list[str]:
    def name_of(item: Json) -> Any:
        return item.get("name") or (item.get("metadata") or {}).get("name")

    by_name = {name_of(item): item for item in ours}
    rest = [pattern for pattern in trimmed if pattern != path.lstrip(".")]
    found: list[str] = []
    for index, item in enumerate(wanted):
        other = by_name.get(name_of(item))
        place = f"{path}[{index}]"
        found += _compare(item, other, place, rest) if other else [f"{place}: no {name_of(item)}"]
    return found


def _compare_status(wanted: Json, ours: Any) -> list[str]:
    if not isinstance(ours, dict) or ours.get("kind") != "Status":
        return [f"{str(ours)[:200]} instead of a Status"]
    found = [
        f"{key}: {ours.get(key)!r} instead of {wanted.get(key)!r}"
        for key in _STATUS_KEYS
        if ours.get(key) != wanted.get(key)
    ]
    details, others = wanted.get("details") or {}, ours.get("details") or {}
    if ("details" in wanted) != ("details" in ours):
        found.append(f"details {ours.get('details')} instead of {wanted.get('details')}")
    found += [
        f"details.{key}: {others.get(key)!r} instead of {details.get(key)!r}"
        for key in _DETAIL_KEYS
        if others.get(key) != details.get(key)
    ]
    causes = [(item.get("reason"), item.get("field")) for item in details.get("causes", ())]
    other_causes = [(item.get("reason"), item.get("field")) for item in others.get("causes", ())]
    if causes != other_causes:
        found.append(f"causes {other_causes} instead of {causes}: {ours.get('message')}")
    return found


Opened = Callable[[Scenario], Awaitable[Replay]]


def catalogue_without(groups: tuple[str, ...]) -> Catalogue:
    """Return the sandbox's catalogue without some API groups, as a cluster that has not installed them."""
    return Catalogue(tuple(item for item in Catalogue().resources if item.group not in groups))


def furnish(server: SandboxServer) -> None:
    """Put in what stood in the recorded cluster without being recorded: a namespace, an account, its rights."""
    store = server.store
    server.add_namespace(NAMESPACE)
    store.seed(SERVICE_ACCOUNTS, [{"metadata": {"name": SERVICE_ACCOUNT, "namespace": NAMESPACE}}])
    rules = [
        {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"]},
        {"verbs": ["get", "patch"], "apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": [NAMESPACE]},
    ]
    metadata = {"name": SERVICE_ACCOUNT, "namespace": NAMESPACE}
    store.seed(ROLES, [{"metadata": metadata, "rules": rules}])
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": SERVICE_ACCOUNT}
    subjects = [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": NAMESPACE}]
    store.seed(ROLE_BINDINGS, [{"metadata": metadata, "subjects": subjects, "roleRef": reference}])
