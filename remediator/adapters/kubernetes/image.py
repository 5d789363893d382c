"""The before-image: what of an object is kept in the ledger, so that a change can be proved and undone.

Kept are name, uid and versions, our annotations, and of the spec the replica count, the update strategy and the pod
template. An undo patches back replica counts and template annotations, which are kept as they are. What may be a secret
is not: each environment value is replaced by ``sha256:`` and 16 digits over the object's uid and the value, enough to
see that it changed and nothing to read it by; arguments and other texts pass through ``redact``.
"""

from __future__ import annotations

import hashlib
from typing import Any

from remediator.adapters.kubernetes import redact
from remediator.adapters.kubernetes.marks import REVISION, ours
from remediator.adapters.kubernetes.shapes import Meta
from remediator.model.action import BeforeImage

_METADATA = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp")
_SPEC = ("replicas", "paused", "strategy", "updateStrategy", "minReadySeconds", "progressDeadlineSeconds")
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


def before_image(document: dict[str, Any], meta: Meta) -> BeforeImage:
    """Return the image of an object as the API server sent it."""
    spec = document.get("spec") or {}
    metadata = {key: document["metadata"][key] for key in _METADATA if key in document["metadata"]}
    annotations = ours(meta.annotations)
    if REVISION in (meta.annotations or {}):
        annotations[REVISION] = (meta.annotations or {})[REVISION]
    kept: dict[str, Any] = {
        "apiVersion": document.get("apiVersion", ""),
        "kind": document.get("kind", ""),
        "metadata": {**metadata, "annotations": annotations},
        "spec": {key: spec[key] for key in _SPEC if key in spec},
    }
    if isinstance(spec.get("template"), dict):
        kept["spec"]["template"] = _template(spec["template"], meta.uid)
    return BeforeImage(resource_version=meta.resource_version, uid=meta.uid, generation=meta.generation, object=kept)


def _template(template: dict[str, Any], salt: str) -> dict[str, Any]:
    metadata = template.get("metadata") or {}
    pod = dict(template.get("spec") or {})
    for group in _CONTAINERS:
        if isinstance(pod.get(group), list):
            pod[group] = [_container(item, salt) for item in pod[group]]
    rest = {key: value if key in _CONTAINERS else redact.tree(value) for key, value in pod.items()}
    annotations = metadata.get("annotations") or {}
    return {
        "metadata": {
            "labels": metadata.get("labels") or {},
            "annotations": {
                key: redact.text(str(value)) if key not in ours(annotations) else value
                for key, value in annotations.items()
            },
        },
        "spec": rest,
    }


def _container(container: dict[str, Any], salt: str) -> dict[str, Any]:
    env = container.get("env")
    rest: dict[str, Any] = redact.tree({key: value for key, value in container.items() if key not in {"env", "image"}})
    if "image" in container:
        rest["image"] = container["image"]
    if isinstance(env, list):
        rest["env"] = [_variable(item, salt) for item in env]
    return rest


def _variable(variable: dict[str, Any], salt: str) -> dict[str, Any]:
    if "value" not in variable:
        return variable
    digest = hashlib.sha256(f"{salt}\n{variable['value']}".encode()).hexdigest()
    return {**variable, "value": f"sha256:{digest[:16]}"}
