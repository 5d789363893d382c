"""Makes and ends pods for their owners, within the quota of the namespace."""

from __future__ import annotations

import copy

from remediator.sandbox.clock import timestamp
from remediator.sandbox.controllers.objects import annotations_of, is_going, key_of, labels_of, owner_reference
from remediator.sandbox.controllers.recorder import Happening, Source
from remediator.sandbox.controllers.world import World
from remediator.sandbox.defaults import fill_in, prepare_create
from remediator.sandbox.pod_limits import LimitExceeded, admit
from remediator.sandbox.resources import NAMESPACES, PODS, Json
from remediator.sandbox.store import Deletion


class CreateRefused(Exception):
    """The cluster does not take another pod; the message is what an event of the owner says."""


def new_pod(owner: Json, template: Json, metadata: Json) -> Json:
    """Return the manifest of a pod of `owner` from a template; `metadata` adds name or generateName and labels."""
    labels = {**labels_of(template), **metadata.get("labels", {})}
    merged = {
        **{key: value for key, value in metadata.items() if key != "labels"},
        "namespace": key_of(owner)[0],
        "labels": labels,
        "ownerReferences": [owner_reference(owner)],
    }
    annotations = annotations_of({"metadata": template.get("metadata") or {}})
    if annotations:
        merged["annotations"] = dict(annotations)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": merged, "spec": copy.deepcopy(template["spec"])}
    fill_in(PODS, pod)
    prepare_create(PODS, pod)
    return pod


def create_pod(world: World, source: Source, owner: Json, pod: Json) -> Json:
    """Create a pod and leave the owner an event of it; CreateRefused (with its event) where none may be made."""
    namespace = key_of(owner)[0]
    try:
        _check_namespace(world, namespace)
        named = pod["metadata"].get("name") or f"{pod['metadata']['generateName']}{world.store.ids.suffix()}"
        _check_limits(world, namespace, named, pod)
    except CreateRefused as error:
        message = f"Error creating: {error}"
        world.events.record(source, owner, Happening(reason="FailedCreate", message=message, kind="Warning"))
        raise CreateRefused(str(error)) from None
    made = world.store.create(PODS, {**pod, "metadata": {**pod["metadata"], "name": named}})
    message = f"Created pod: {named}"
    world.events.record(source, owner, Happening(reason="SuccessfulCreate", message=message))
    return made


def _check_limits(world: World, namespace: str, name: str, pod: Json) -> None:
    try:
        admit(world.store, namespace, pod)
    except LimitExceeded as error:
        raise CreateRefused(f'pods "{name}" is forbidden: {error}') from None


def _check_namespace(world: World, namespace: str) -> None:
    home = world.store.find(NAMESPACES, "", namespace)
    if home is not None and is_going(home):
        raise CreateRefused(
            f"pods is forbidden: unable to create new content in namespace {namespace} because it is being terminated"
        )


def delete_pod(world: World, source: Source, owner: Json, pod: Json) -> None:
    """Begin to end a pod and leave the owner an event of it."""
    world.store.delete(PODS, *key_of(pod), Deletion(uid=pod["metadata"]["uid"]))
    message = f"Deleted pod: {pod['metadata']['name']}"
    world.events.record(source, owner, Happening(reason="SuccessfulDelete", message=message))


def failure(world: World, message: str) -> Json:
    """Return the condition of an owner that cannot make its pods."""
    return {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": timestamp(world.now()),
        "reason": "FailedCreate",
        "message": message,
    }
