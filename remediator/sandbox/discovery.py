"""What is served and by whom: versions, groups, resources, health."""

from __future__ import annotations

from collections.abc import Iterable

from remediator.sandbox.calls import Answer, Call
from remediator.sandbox.resources import SUBRESOURCE_VERBS, Catalogue, Json, Resource
from remediator.sandbox.status import TextError, method_not_allowed, no_such_resource

VERSION: Json = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "linux/amd64",
}
_AGGREGATED = "as=APIGroupDiscoveryList"
_AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_HEALTH = {"/livez", "/readyz", "/healthz"}
_CHECKS = ("ping", "log", "etcd", "informer-sync")
_GROUP_DEPTH, _VERSION_DEPTH = 2, 3


class Discovery:
    """Answers every path that is no resource."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Describe what `catalogue` holds."""
        self._catalogue = catalogue

    def answer(self, call: Call) -> Answer:
        """Answer a GET; TextError 404 for paths that nobody owns."""
        path = call.path.rstrip("/") or "/"
        health = next((name for name in _HEALTH if path == name or path.startswith(name + "/")), None)
        if health is not None:
            return self._health(call, path)
        if call.method != "GET":
            raise method_not_allowed()
        if path == "/version":
            return Answer(VERSION)
        parts = [part for part in path.split("/") if part]
        if parts[:1] == ["api"]:
            return self._core(call, parts)
        if parts[:1] == ["apis"]:
            return self._groups(call, parts)
        raise TextError(404, "404 page not found\n")

    @staticmethod
    def _health(call: Call, path: str) -> Answer:
        parts = path.split("/")
        if len(parts) > _GROUP_DEPTH and parts[2] not in _CHECKS:
            raise TextError(404, "404 page not found\n")
        if "verbose" in call.query:
            lines = "".join(f"[+]{name} ok\n" for name in _CHECKS)
            return Answer(f"{lines}{parts[1]} check passed\n", content_type="text/plain; charset=utf-8")
        return Answer("ok", content_type="text/plain; charset=utf-8")

    def _core(self, call: Call, parts: list[str]) -> Answer:
        if len(parts) == 1:
            if _AGGREGATED in call.accept:
                return Answer(self._aggregated([""]), content_type=_AGGREGATED_TYPE)
            addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": call.http.host}]
            return Answer({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses})
        return self._resources("", parts[1])

    def _groups(self, call: Call, parts: list[str]) -> Answer:
        names = self._group_names()
        if len(parts) == 1:
            if _AGGREGATED in call.accept:
                return Answer(self._aggregated(names), content_type=_AGGREGATED_TYPE)
            groups = [self._group(name) for name in names]
            return Answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        if parts[1] not in names:
            raise TextError(404, "404 page not found\n")
        if len(parts) == _GROUP_DEPTH:
            return Answer({"kind": "APIGroup", "apiVersion": "v1", **self._group(parts[1])})
        return self._resources(parts[1], parts[2])

    def _group_names(self) -> list[str]:
        return list(dict.fromkeys(item.group for item in self._catalogue.resources if item.group))

    def _versions(self, group: str) -> list[str]:
        return list(dict.fromkeys(item.version for item in self._catalogue.resources if item.group == group))

    def _group(self, name: str) -> Json:
        versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in self._versions(name)]
        return {"name": name, "versions": versions, "preferredVersion": versions[0]}

    def _served(self, group: str, version: str) -> list[Resource]:
        return [item for item in self._catalogue.resources if (item.group, item.version) == (group, version)]

    def _resources(self, group: str, version: str) -> Answer:
        served = self._served(group, version)
        if not served:
            raise no_such_resource()
        head: Json = {"kind": "APIResourceList"}
        if group:
            head["apiVersion"] = "v1"
        head["groupVersion"] = f"{group}/{version}" if group else version
        return Answer({**head, "resources": [entry for item in served for entry in _entries(item)]})

    def _aggregated(self, groups: Iterable[str]) -> Json:
        items: list[Json] = []
        for group in groups:
            versions = [
                {
                    "version": version,
                    "resources": [_aggregated_entry(item) for item in self._served(group, version)],
                    "freshness": "Current",
                }
                for version in self._versions(group)
            ]
            items.append({"metadata": {"name": group} if group else {}, "versions": versions})
        head = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}}
        return {**head, "items": items}


def _subresources(item: Resource) -> Iterable[tuple[str, str, str, str, tuple[str, ...]]]:
    """Yield name, group, version, kind and verbs of each subresource."""
    if item.plural == "pods":
        yield "eviction", "policy", "v1", "Eviction", ("create",)
        yield "log", "", "", "Pod", ("get",)
        yield "resize", "", "", "Pod", ("patch",)
    if item.plural == "serviceaccounts":
        yield "token", "authentication.k8s.io", "v1", "TokenRequest", ("create",)
    if item.scale:
        yield "scale", "autoscaling", "v1", "Scale", SUBRESOURCE_VERBS
    if item.status:
        yield "status", "", "", item.kind, SUBRESOURCE_VERBS


def _entries(item: Resource) -> Iterable[Json]:
    entry: Json = {
        "name": item.plural,
        "singularName": item.singular,
        "namespaced": item.namespaced,
        "kind": item.kind,
        "verbs": sorted(item.verbs),
    }
    if item.short_names:
        entry["shortNames"] = list(item.short_names)
    if item.categories:
        entry["categories"] = list(item.categories)
    yield entry
    for name, group, version, kind, verbs in _subresources(item):
        place = {"group": group, "version": version} if version else {}
        yield {
            "name": f"{item.plural}/{name}",
            "singularName": "",
            "namespaced": item.namespaced,
            **place,
            "kind": kind,
            "verbs": list(verbs),
        }


def _aggregated_entry(item: Resource) -> Json:
    entry: Json = {
        "resource": item.plural,
        "responseKind": {"group": "", "version": "", "kind": item.kind},
        "scope": "Namespaced" if item.namespaced else "Cluster",
        "singularResource": item.singular,
        "verbs": sorted(item.verbs),
    }
    if item.short_names:
        entry["shortNames"] = list(item.short_names)
    if item.categories:
        entry["categories"] = list(item.categories)
    subresources = [
        {
            "subresource": name,
            "responseKind": {"group": group, "version": version, "kind": kind},
            "verbs": list(verbs),
        }
        for name, group, version, kind, verbs in _subresources(item)
    ]
    return {**entry, "subresources": subresources} if subresources else entry
