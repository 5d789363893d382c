"""The API server: whether it answers, what we may do there, and which workloads say no limit."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from remediator.adapters.kubernetes.client import KubeClient, Request
from remediator.adapters.kubernetes.errors import attempt
from remediator.adapters.kubernetes.names import apps_path
from remediator.core.match import RuleIndex
from remediator.doctor.finding import Clock, Finding, Grade, Look
from remediator.doctor.permissions import WORKLOADS, Need, needs
from remediator.model.errors import ClusterError
from remediator.model.rule import Rule

AREA = "API server"
MOST_REVIEWS = 1000
"""Questions for single permissions; the rest is not asked, and that is said."""
MOST_NAMED = 6
MOST_LISTED = 500
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
T = TypeVar("T")
_LIMIT = re.compile(r'kube_pod_container_resource_limits\{[^}]*resource="(\w+)"')


class _Version(Struct, rename="camel"):
    git_version: str = ""


class _Status(Struct):
    allowed: bool = False


class _Review(Struct):
    status: _Status = field(default_factory=_Status)


class _Resources(Struct):
    limits: dict[str, str] | None = None


class _Container(Struct):
    name: str = ""
    resources: _Resources | None = None


class _PodSpec(Struct):
    containers: list[_Container] = field(default_factory=list)


class _Template(Struct):
    spec: _PodSpec = field(default_factory=_PodSpec)


class _Spec(Struct):
    template: _Template = field(default_factory=_Template)


class _Meta(Struct):
    name: str = ""


class _Workload(Struct):
    metadata: _Meta
    spec: _Spec


class _List(Struct):
    items: list[_Workload] | None = None


def not_found() -> Look:
    """Return the finding that no cluster is named anywhere."""
    advice = "name a kubeconfig (--kubeconfig, REMEDIATOR_KUBECONFIG, KUBECONFIG), or run it in a pod"
    return Look(findings=(_finding("reachable", Grade.STOP, "no cluster is named", advice),))


async def look(client: KubeClient, rules: Sequence[Rule], now: datetime) -> Look:
    """Look at it, in the order in which it matters; ``now`` by this host's clock."""
    answer = await client.send(Request(path="/version"))
    if not answer.ok:
        refusal = answer.refusal()
        advice = "look at the kubeconfig's server, context and credentials (kubectl version says the same)"
        return Look(
            findings=(_finding("reachable", Grade.STOP, f"answers {answer.status}: {refusal.message}", advice),)
        )
    version = _decoded(answer.body, _Version).git_version or "of an unknown version"
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(_permissions(client, rules), name="doctor-permissions")
        limits = group.create_task(_limits(client, rules), name="doctor-limits")
    findings = (_finding("reachable", Grade.OK, f"{version} answers"), *asked.result(), *limits.result())
    return Look(findings=findings, clocks=_clocks(answer.headers.get("Date", ""), now))


def _clocks(date: str, now: datetime) -> tuple[Clock, ...]:
    try:
        at = parsedate_to_datetime(date).astimezone(UTC)
    except (TypeError, ValueError):
        return ()
    return (Clock(whose=AREA, ahead_s=(at - now).total_seconds()),)


def _finding(what: str, grade: Grade, found: str, advice: str = "") -> Finding:
    return Finding(area=AREA, what=what, grade=grade, found=found, advice=advice)


# ---------------------------------------------------------------------------------------------------------- permissions


async def _permissions(client: KubeClient, rules: Sequence[Rule]) -> tuple[Finding, ...]:
    wanted = needs(rules)
    asked = wanted[:MOST_REVIEWS]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(attempt(_may(client, one)), name="doctor-review") for one in asked]
    answers = [task.result() for task in tasks]
    failed = next((one for one in answers if isinstance(one, ClusterError)), None)
    if failed is not None:
        advice = "look whether it may create selfsubjectaccessreviews.authorization.k8s.io (everybody may by default)"
        return (_finding("permissions", Grade.STOP, f"cannot be asked for: {failed}", advice),)
    refused = [one for one, answer in zip(asked, answers, strict=True) if answer is False]
    findings = [*_refused(refused, needed=True), *_refused(refused, needed=False)]
    if len(wanted) > len(asked):
        findings.append(_finding("permissions", Grade.NOTE, f"{len(wanted) - len(asked)} more were not asked for"))
    if not refused:
        words = f"all {len(asked)} that {len(rules)} rules need are granted"
        findings.insert(0, _finding("permissions", Grade.OK, words))
    return tuple(findings)


def _refused(refused: Sequence[Need], *, needed: bool) -> list[Finding]:
    """Return one finding for each namespace in which something is not allowed."""
    places: dict[str, list[Need]] = defaultdict(list)
    for one in refused:
        if one.needed is needed:
            places[one.right.namespace].append(one)
    findings = []
    for namespace, missing in sorted(places.items()):
        where = f"in {namespace}" if namespace else "in the whole cluster"
        rules = sorted({name for one in missing for name in one.rules})
        found = f"{where} we may not {_several([str(one.right) for one in missing])}"
        kind = "Role and RoleBinding" if namespace else "ClusterRole and ClusterRoleBinding"
        what = "needed by" if needed else "without it evidence is incomplete:"
        advice = f"add them to our {kind}; {what} {_several(rules)}"
        findings.append(_finding("permissions", Grade.STOP if needed else Grade.NOTE, found, advice))
    return findings


def _several(words: Sequence[str]) -> str:
    more = len(words) - MOST_NAMED
    return ", ".join(words[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


async def _may(client: KubeClient, need: Need) -> bool:
    right = need.right
    resource, _, subresource = right.resource.partition("/")
    attributes = {"verb": right.verb, "group": right.group, "resource": resource}
    attributes |= {
        name: value for name, value in (("subresource", subresource), ("namespace", right.namespace)) if value
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    body = await client.get(
        Request(path=REVIEW, method="POST", body=msgspec.json.encode(review), content_type="application/json")
    )
    return _decoded(body, _Review).status.allowed


def _decoded(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClusterError("malformed", f"the API server's answer cannot be read: {str(error)[:200]}") from error


# --------------------------------------------------------------------------------------------------------------- limits


async def _limits(client: KubeClient, rules: Sequence[Rule]) -> tuple[Finding, ...]:
    """Name the workloads that rows which divide by limits cannot see."""
    findings = []
    for rule in rules:
        resource = _LIMIT.search(rule.threshold.expr) if rule.threshold is not None else None
        if resource is not None:
            findings.append(await _unlimited(client, rule, resource[1]))
    return tuple(findings)


async def _unlimited(client: KubeClient, rule: Rule, resource: str) -> Finding:
    places = [
        (namespace, plural)
        for namespace in rule.target.namespaces
        for plural, kind in WORKLOADS.items()
        if kind in rule.target.kinds
    ]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(attempt(_listed(client, *place)), name="doctor-limits") for place in places]
    found: list[tuple[tuple[str, str], _Workload]] = []
    for place, task in zip(places, tasks, strict=True):
        listed = task.result()
        if isinstance(listed, ClusterError):
            words = f"which workloads {rule.name} cannot see is not known: {listed}"
            return _finding("limits", Grade.NOTE, words)
        found += [(place, one) for one in listed if _concerns(rule, place[0], one.metadata.name)]
    without = [
        f"{place[1].removesuffix('s')}/{place[0]}/{one.metadata.name}"
        for place, one in found
        if not _has(one, resource)
    ]
    if without:
        advice = f"set resources.limits.{resource} of their containers"
        words = f"{len(without)} of {len(found)} without a {resource} limit, unseen by {rule.name}: {_several(without)}"
        return _finding("limits", Grade.NOTE, words, advice)
    return _finding("limits", Grade.OK, f"all {len(found)} workloads of {rule.name} have a {resource} limit")


def _concerns(rule: Rule, namespace: str, name: str) -> bool:
    """Tell whether the rule would take an alert about the workload."""
    labels = {"alertname": rule.name, "severity": "critical", "namespace": namespace, "workload": name}
    return bool(RuleIndex.build((rule,)).matching(labels))


async def _listed(client: KubeClient, namespace: str, plural: str) -> list[_Workload]:
    found = await client.read(apps_path(namespace, plural), _List, {"limit": str(MOST_LISTED)})
    return found.items or []


def _has(workload: _Workload, resource: str) -> bool:
    """Tell whether a container has the limit: the row sees those that do."""
    containers = workload.spec.template.spec.containers
    return any(resource in ((one.resources and one.resources.limits) or {}) for one in containers)
