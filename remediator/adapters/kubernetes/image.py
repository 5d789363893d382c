"""The before-image: what of an object is kept in the ledger, so that a change can be proved and undone.

An allow-list says what is kept as it is: name, uid and versions, our annotations, and of the spec what says how many
pods run of which image, with which resources, where and as whom. An undo patches back replica counts and our template
annotations, which are among these. Everything else may be a secret (environment, arguments, probes, foreign
annotations, volumes): of that stands ``sha256:`` with 16 digits over the object's uid and the value, enough to see that
it changed and nothing to read it by.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from remediator import redaction
from remediator.adapters.kubernetes.marks import REVISION, ours
from remediator.adapters.kubernetes.shapes import Meta
from remediator.model.action import BeforeImage

_METADATA = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp")
_SPEC = (
    *("replicas", "paused", "strategy", "updateStrategy", "minReadySeconds", "progressDeadlineSeconds"),
    *("scaleTargetRef", "minReplicas", "maxReplicas", "minReplicaCount", "maxReplicaCount"),
)
_POD = frozenset(
    {
        *("restartPolicy", "terminationGracePeriodSeconds", "activeDeadlineSeconds", "dnsPolicy", "serviceAccountName"),
        *("serviceAccount", "automountServiceAccountToken", "nodeName", "nodeSelector", "hostNetwork", "hostPID"),
        *("hostIPC", "schedulerName", "priorityClassName", "priority", "preemptionPolicy", "runtimeClassName"),
        *("tolerations", "affinity", "topologySpreadConstraints", "securityContext", "imagePullSecrets"),
        *("enableServiceLinks", "shareProcessNamespace"),
    }
)
_CONTAINER = frozenset(
    {
        *("name", "image", "imagePullPolicy", "resources", "resizePolicy", "ports", "workingDir", "restartPolicy"),
        *("envFrom", "volumeMounts", "volumeDevices", "securityContext", "terminationMessagePath"),
        *("terminationMessagePolicy", "stdin", "stdinOnce", "tty"),
    }
)
_VARIABLE = frozenset({"name", "valueFrom"})
MAX_CONNECTIONS = "MAX_CONNECTIONS"
_VOLUME = frozenset({"name"})
_NAMED = {
    "containers": _CONTAINER,
    "initContainers": _CONTAINER,
    "ephemeralContainers": _CONTAINER,
    "volumes": _VOLUME,
}


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
    annotations = metadata.get("annotations") or {}
    return {
        "metadata": {
            "labels": redaction.tree(metadata.get("labels") or {}),
            "annotations": _kept(annotations, frozenset(ours(annotations)), salt),
        },
        "spec": _pod(template.get("spec") or {}, salt),
    }


def _pod(spec: dict[str, Any], salt: str) -> dict[str, Any]:
    known = {group: spec[group] for group in _NAMED if isinstance(spec.get(group), list)}
    rest = {key: value for key, value in spec.items() if key not in known}
    kept = _kept(rest, _POD, salt)
    for group, items in known.items():
        kept[group] = [_item(item, _NAMED[group], salt) for item in items]
    return kept


def _item(item: Any, allowed: frozenset[str], salt: str) -> Any:
    """Return a container, or something else that has a name; its environment variable by variable."""
    if not isinstance(item, dict):
        return _digest(item, salt)
    env = item.get("env")
    if not isinstance(env, list):
        return _kept(item, allowed, salt)
    rest = {key: value for key, value in item.items() if key != "env"}
    return {**_kept(rest, allowed, salt), "env": [_variable(one, salt) for one in env]}


def _variable(item: Any, salt: str) -> Any:
    """Return an environment variable: a number of connections is no secret, and an undo brings it back."""
    number = isinstance(item, dict) and item.get("name") == MAX_CONNECTIONS and str(item.get("value", "")).isdecimal()
    return _item(item, _VARIABLE | {"value"} if number else _VARIABLE, salt)


def _kept(values: dict[str, Any], allowed: frozenset[str], salt: str) -> dict[str, Any]:
    """Return values that are allowed, and a digest in the place of each that is not."""
    return {key: value if key in allowed else _digest(value, salt) for key, value in values.items()}


def _digest(value: Any, salt: str) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    salted = f"{salt}\n{text}".encode("utf-8", "surrogatepass")
    return f"sha256:{hashlib.sha256(salted).hexdigest()[:16]}"
