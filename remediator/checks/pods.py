"""The runbook's ``kubectl get pods -n backstage``: every pod, and which of them are not well."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from remediator.actions.shape import Parameters, Permission
from remediator.checks.shape import CheckType, Subject, table, unseen, verdict
from remediator.core.words import span
from remediator.model.look import Findings, Look, Objects, Seen
from remediator.model.report import Cell, Report

Json = dict[str, Any]

COLUMNS = ("namespace", "name", "ready", "status", "restarts", "age")
DONE = "Succeeded"


def wants(subject: Subject, _parameters: Parameters, findings: Findings) -> tuple[Look, ...]:
    """Want the pods of the namespace, or of all."""
    look = _pods(subject)
    return () if look in findings else (look,)


def judge(subject: Subject, _parameters: Parameters, findings: Findings) -> Report:
    """Say how many pods are not ready, those first."""
    found = findings.get(_pods(subject))
    pods = found.items if isinstance(found, Seen) else ()
    ill = [pod for pod in pods if not _well(pod)]
    well = [pod for pod in pods if _well(pod)]
    where = f"in {subject.namespace}" if subject.namespace else "in the cluster"
    summary = f"{len(ill)} of {len(pods)} pods {where} are not ready"
    if not isinstance(found, Seen):
        summary = f"the pods {where} could not be seen"
    elif not ill:
        summary = f"all {len(pods)} pods {where} are ready or done"
    rows = [_row(pod, subject.now) for pod in (*ill, *well)]
    return Report(
        check="pods",
        verdict=verdict(findings, wrong=bool(ill)),
        summary=summary,
        tables=(table("Pods", COLUMNS, rows),),
        advice=("remediator run investigate reads the logs of the pods that are not ready",) if ill else (),
        unseen=unseen(findings),
    )


def _pods(subject: Subject) -> Objects:
    return Objects(resource="pods", namespace=subject.namespace)


def _well(pod: Json) -> bool:
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return False
    return status.get("phase") == DONE or any(
        one.get("type") == "Ready" and one.get("status") == "True" for one in status.get("conditions") or ()
    )


def _row(pod: Json, now: datetime) -> tuple[Cell, ...]:
    meta, status = pod["metadata"], pod.get("status") or {}
    containers = status.get("containerStatuses") or ()
    wanted = len((pod.get("spec") or {}).get("containers") or ())
    made = meta.get("creationTimestamp")
    age = span((now - datetime.fromisoformat(made)).total_seconds()) if made else None
    return (
        meta.get("namespace", ""),
        meta["name"],
        f"{sum(bool(one.get('ready')) for one in containers)}/{wanted}",
        _status(pod),
        sum(int(one.get("restartCount") or 0) for one in containers),
        age,
    )


def _status(pod: Json) -> str:
    """Return what kubectl shows: the reason of a container that waits or has ended, else the phase."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for one in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        state = one.get("state") or {}
        ended = state.get("terminated") or {}
        reason = (state.get("waiting") or {}).get("reason") or (ended.get("reason") if ended.get("exitCode") else "")
        if reason:
            return str(reason)
    return str(status.get("reason") or status.get("phase") or "Unknown")


PODS = CheckType(
    name="pods",
    title="Every pod, those that are not ready first",
    section="Incident Response Process: Initial Response",
    permissions=(Permission(group="", resources=("pods",), verbs=("list",)),),
    wants=wants,
    judge=judge,
)
