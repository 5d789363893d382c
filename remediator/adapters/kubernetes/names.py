"""Names and places: DNS-1123 checks, request paths, and selectors as the query writes them.

Labels of an alert are data from outside: nothing reaches a path before it passed here.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from remediator.adapters.kubernetes.shapes import Selector
from remediator.model.errors import ClusterError
from remediator.model.target import Kind, Target

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_PART = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_PART}(?:\.{_PART})*")
_LONGEST_SUBDOMAIN = 253

PLURALS = {Kind.DEPLOYMENT: "deployments", Kind.STATEFULSET: "statefulsets", Kind.DAEMONSET: "daemonsets"}


def is_namespace(value: str) -> bool:
    """Tell whether a value can be the name of a namespace (a DNS-1123 label)."""
    return _LABEL.fullmatch(value) is not None


def is_name(value: str) -> bool:
    """Tell whether a value can be the name of a workload, pod or service (a DNS-1123 subdomain)."""
    return len(value) <= _LONGEST_SUBDOMAIN and _SUBDOMAIN.fullmatch(value) is not None


def workload_path(kind: Kind, namespace: str, name: str) -> str:
    """Return the path of one workload."""
    return apps_path(namespace, PLURALS[kind], name)


def target_path(target: Target) -> str:
    """Return the path of the target."""
    return workload_path(target.kind, target.namespace, target.name)


def apps_path(namespace: str, plural: str, name: str = "") -> str:
    """Return a path in the group apps: of a collection, or of one object of it."""
    return _namespaced("/apis/apps/v1", namespace, plural, name)


def core_path(namespace: str, plural: str, name: str = "") -> str:
    """Return a path in the core group: of a collection, or of one object of it."""
    return _namespaced("/api/v1", namespace, plural, name)


def group_path(group_version: str, namespace: str, plural: str, name: str = "") -> str:
    """Return a path in another group (``networking.k8s.io/v1``): of a collection, or of one object of it."""
    return _namespaced(f"/apis/{group_version}", namespace, plural, name)


def _namespaced(root: str, namespace: str, plural: str, name: str) -> str:
    # Quoted although checked: two locks on the door that outside text comes to.
    path = f"{root}/namespaces/{quote(namespace, safe='')}/{plural}"
    return f"{path}/{quote(name, safe='')}" if name else path


def selector_text(selector: Selector | None) -> str:
    """Return a selector as labelSelector wants it; "" where it selects nothing (an empty one would select all).

    ClusterError ``malformed`` for an operator that Kubernetes does not have: without it more would be selected.
    """
    if selector is None:
        return ""
    parts = [f"{key}={value}" for key, value in (selector.match_labels or {}).items()]
    for item in selector.match_expressions or ():
        values = ",".join(item.values or ())
        match item.operator:
            case "In":
                parts.append(f"{item.key} in ({values})")
            case "NotIn":
                parts.append(f"{item.key} notin ({values})")
            case "Exists":
                parts.append(item.key)
            case "DoesNotExist":
                parts.append(f"!{item.key}")
            case unknown:
                raise ClusterError("malformed", f"selector operator {unknown[:40]!r} is not one of Kubernetes'")
    return ",".join(parts)
