"""Argo CD, as far as owners of workloads matter: it compares what runs with Git, and heals itself if told to.

Git is the annotation `manifests` of an Application: a JSON list of objects (apiVersion, kind, metadata.name and the
fields of spec that Git has), all of the Application's destination namespace. What Git does not have is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import msgspec

from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.behaviour import PREFIX
from remediator.sandbox.controllers.objects import annotations_of, is_going
from remediator.sandbox.controllers.recorder import Happening, Source
from remediator.sandbox.controllers.world import World
from remediator.sandbox.history import Change
from remediator.sandbox.patches.merge_patch import merge_patch
from remediator.sandbox.resources import (
    APPLICATIONS,
    AUTOSCALERS,
    DEPLOYMENTS,
    SCALED_OBJECTS,
    STATEFUL_SETS,
    GroupResource,
    Json,
)

MANIFESTS = PREFIX + "manifests"
TRACKING = "argocd.argoproj.io/tracking-id"
SKIP = "argocd.argoproj.io/skip-reconcile"
_SOURCE = Source(component="argocd-application-controller")
_KINDS: dict[str, GroupResource] = {
    "Deployment": DEPLOYMENTS,
    "StatefulSet": STATEFUL_SETS,
    "HorizontalPodAutoscaler": AUTOSCALERS,
    "ScaledObject": SCALED_OBJECTS,
}


class ApplicationController:
    """Marks what an Application has, tells whether it is in sync, and after a moment brings Git's values back."""

    watches = (APPLICATIONS, *_KINDS.values())

    def __init__(self, world: World) -> None:
        """Work in `world`."""
        self._world = world
        self._drifted: dict[Key, float] = {}

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield an Application that changed, or the one that has what did."""
        if change.resource == APPLICATIONS:
            yield change.namespace, change.name
            return
        owner = annotations_of(change.object).get(TRACKING, "").partition(":")[0]
        for application in self._world.store.list(APPLICATIONS):
            if application["metadata"]["name"] == owner:
                yield application["metadata"]["namespace"], owner

    def reconcile(self, key: Key) -> None:
        """Compare one Application with what runs; heal when the drift has stood for a moment."""
        application = self._world.store.find(APPLICATIONS, *key)
        if application is None or is_going(application) or annotations_of(application).get(SKIP) == "true":
            return
        try:
            manifests = _manifests(application)
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
            happening = Happening(reason="BadAnnotation", message=f"{MANIFESTS}: {error}", kind="Warning")
            self._world.events.record(_SOURCE, application, happening)
            return
        drifts = [item for item in (self._drift(application, one) for one in manifests) if item is not None]
        self._tell(application, synced=not drifts)
        automated = (application["spec"].get("syncPolicy") or {}).get("automated")
        heals = automated is not None and automated.get("enabled", True) and automated.get("selfHeal", False)
        if not drifts or not heals:
            self._drifted.pop(key, None)
            return
        now = self._world.agenda.clock.monotonic()
        due = self._drifted.setdefault(key, now + self._world.quick(self._world.pace.heal_after))
        if now < due:
            self._world.agenda.at(due, self, key)
            return
        del self._drifted[key]
        for resource, namespace, name, wanted in drifts:
            self._world.store.mutate(resource, namespace, name, partial(merge_patch, patch=wanted))
        message = f"Initiated automated sync to heal {len(drifts)} resources"
        self._world.events.record(_SOURCE, application, Happening(reason="OperationStarted", message=message))

    def _drift(self, application: Json, manifest: Json) -> tuple[GroupResource, str, str, Json] | None:
        """Return where an object runs with other values than Git's, and Git's values without the ignored ones."""
        resource = _KINDS[manifest["kind"]]
        namespace, name = application["spec"]["destination"]["namespace"], manifest["metadata"]["name"]
        running = self._world.store.find(resource, namespace, name)
        if running is None:
            return None
        group = resource.group
        mark = f"{application['metadata']['name']}:{group}/{manifest['kind']}:{namespace}/{name}"
        if annotations_of(running).get(TRACKING) != mark:
            marked = {"metadata": {"annotations": {TRACKING: mark}}}
            running = self._world.store.mutate(resource, namespace, name, lambda obj: merge_patch(obj, marked))
        ignored = set(_ignored(application, group, manifest))
        wanted: Json = {}
        for path, value in _leaves(manifest.get("spec") or {}, ("spec",)):
            covered = any("/" + "/".join(path[:length]) in ignored for length in range(1, len(path) + 1))
            if not covered and _at(running, path) != value:
                _put(wanted, path, value)
        return (resource, namespace, name, wanted) if wanted else None

    def _tell(self, application: Json, *, synced: bool) -> None:
        metadata, before = application["metadata"], application.get("status") or {}
        word = "Synced" if synced else "OutOfSync"
        if (before.get("sync") or {}).get("status") == word:
            return
        told = {"status": {"sync": {"status": word}}}
        self._world.store.mutate(
            APPLICATIONS, metadata["namespace"], metadata["name"], lambda obj: merge_patch(obj, told)
        )


def _manifests(application: Json) -> list[Json]:
    text = annotations_of(application).get(MANIFESTS, "[]")
    found: list[Json] = msgspec.json.decode(text, type=list[dict[str, Any]])
    return [one for one in found if one["kind"] in _KINDS]


def _ignored(application: Json, group: str, manifest: Json) -> Iterator[str]:
    """Yield the JSON pointers that the Application does not compare on an object."""
    for rule in application["spec"].get("ignoreDifferences") or ():
        same = rule.get("kind") == manifest["kind"] and rule.get("group", "") in {group, "*"}
        if same and rule.get("name", manifest["metadata"]["name"]) == manifest["metadata"]["name"]:
            yield from rule.get("jsonPointers") or ()


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _put(document: Json, path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        document = document.setdefault(key, {})
    document[path[-1]] = value
