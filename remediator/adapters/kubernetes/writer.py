"""The one thing that changes the cluster: a merge patch that can be stored once at most, and what its answer means.

Every patch carries the resourceVersion and uid that it is based on, the action's id and its fence. It is sent once: no
retry, no redirect. The same id stands in the field manager (the short number) and in the User-Agent, which the API
server's audit log keeps at every level, so that each request there leads to the ledger's entries of one action and
back. Whatever is neither a clear yes nor a refusal before storage leaves the outcome open (InDoubt): also
a yes without the object that was stored, for anything between us and the API server can say 200.
"""

from __future__ import annotations

from typing import Any

import msgspec

from remediator.adapters.kubernetes.client import (
    MERGE_PATCH,
    STRATEGIC_PATCH,
    USER_AGENT,
    Answer,
    KubeClient,
    Request,
)
from remediator.adapters.kubernetes.errors import MESSAGE_LENGTH, NoAnswerError, NotSentError, Refusal, scrub
from remediator.adapters.kubernetes.levers import lever_path
from remediator.adapters.kubernetes.marks import ACTION, FENCE
from remediator.adapters.kubernetes.names import is_name, is_namespace, target_path
from remediator.model.errors import InvariantBroken
from remediator.model.plan import PatchObject
from remediator.ports.cluster import Applied, InDoubt, WriteMark, WriteRefused, WriteResult

FIELD_MANAGER = "remediator-a"
"""Before the action's number: who looks at an object's managed fields sees which action a value is from."""

# Refused before anything was stored. Every other status outside 2xx leaves the outcome open.
_REFUSED = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "gone",
    409: "conflict",
    413: "invalid",
    415: "invalid",
    422: "invalid",
    429: "throttled",
}
_UNPROCESSABLE = 422

Json = dict[str, Any]


class _StoredMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str
    generation: int = 0


class _Stored(msgspec.Struct, frozen=True):
    metadata: _StoredMeta


class KubernetesWriter:
    """Implements ports.cluster.ClusterWriter."""

    def __init__(self, client: KubeClient) -> None:
        """Take the client to write with."""
        self._client = client

    async def patch(self, step: PatchObject, mark: WriteMark, *, dry_run: bool = False) -> WriteResult:
        """Send one write, once, and classify what came back.

        InvariantBroken where the write could not be fenced: without uid and resourceVersion, or for another object.
        """
        target, lever = step.target, step.through
        wanted = target.uid if lever is None else lever.uid
        if not (mark.uid and mark.resource_version and mark.action_id) or wanted not in {"", mark.uid}:
            raise InvariantBroken(f"action {mark.number}: a write to {target} must carry its uid and resourceVersion")
        names = (target.name,) if lever is None else (target.name, lever.name)
        if not (is_namespace(target.namespace) and all(is_name(name) for name in names)):
            return WriteRefused(reason="invalid", message=scrub(f"{target.key!r} is not a name Kubernetes allows"))
        body = patch_body(step, mark)
        query = {"fieldManager": f"{FIELD_MANAGER}{mark.number}", "fieldValidation": "Strict"}
        request = Request(
            method="PATCH",
            path=target_path(target) if lever is None else lever_path(lever),
            query=query | {"dryRun": "All"} if dry_run else query,
            body=msgspec.json.encode(body),
            content_type=STRATEGIC_PATCH if step.by_name else MERGE_PATCH,
            user_agent=f"{USER_AGENT} action/{mark.number} fence/{mark.fence} id/{mark.action_id}",
        )
        try:
            answer = await self._client.send(request)
        except NotSentError as error:
            return WriteRefused(reason="unreachable", message=scrub(error.message))
        except NoAnswerError as error:
            return InDoubt(message=scrub(error.message))
        return classify(answer, _expectations(step, mark))


def patch_body(step: PatchObject, mark: WriteMark) -> Json:
    """Return the step's patch with our marks and preconditions put over it."""
    marks: Json = {
        "metadata": {
            "resourceVersion": mark.resource_version,
            "uid": mark.uid,
            "annotations": {ACTION: mark.action_id, FENCE: str(mark.fence)},
        }
    }
    if step.mark_template:
        marks["spec"] = {"template": {"metadata": {"annotations": {ACTION: mark.action_id}}}}
    return _over(step.patch, marks)


def classify(answer: Answer, expected: list[tuple[list[str], Any]]) -> WriteResult:
    """Return what an answer to a write means; ``expected`` are paths and values to find in a stored object."""
    if answer.ok:
        return _applied(answer, expected)
    refusal = answer.refusal()
    said = ": ".join(part for part in (f"HTTP {answer.status}", refusal.status_reason, refusal.message) if part)
    message = said[:MESSAGE_LENGTH]
    reason = _REFUSED.get(answer.status)
    if reason is None:
        return InDoubt(message=message)
    if answer.status == _UNPROCESSABLE and _other_object(refusal):
        reason = "gone"
    return WriteRefused(reason=reason, message=message, retry_after=refusal.retry_after)


def _applied(answer: Answer, expected: list[tuple[list[str], Any]]) -> Applied | InDoubt:
    try:
        stored = msgspec.json.decode(answer.body, type=_Stored)
        document = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        why = answer.fault or "what follows is not the object that was stored"
        return InDoubt(message=f"HTTP {answer.status}, but {why}"[:MESSAGE_LENGTH])
    differs = tuple(".".join(path) for path, value in expected if lookup(document, path) != value)
    return Applied(
        resource_version=stored.metadata.resource_version, generation=stored.metadata.generation, differs=differs
    )


def _expectations(step: PatchObject, mark: WriteMark) -> list[tuple[list[str], Any]]:
    expected: list[tuple[list[str], Any]] = [(path.split("."), value) for path, value in step.expected.items()]
    expected.append((["metadata", "annotations", ACTION], mark.action_id))
    expected.append((["metadata", "annotations", FENCE], str(mark.fence)))
    if step.mark_template:
        expected.append((["spec", "template", "metadata", "annotations", ACTION], mark.action_id))
    return expected


def lookup(document: Any, path: list[str]) -> Any:
    """Return the value at a path split at its dots, None where there is none.

    Keys may hold dots themselves (``remediator.io/action``), so the longest key that fits is tried too.
    """
    if not path:
        return document
    if isinstance(document, list):
        named = (place for place, item in enumerate(document) if isinstance(item, dict) and item.get("name") == path[0])
        index = int(path[0]) if path[0].isdigit() else next(named, len(document))
        return lookup(document[index], path[1:]) if index < len(document) else None
    if not isinstance(document, dict):
        return None
    for size in range(1, len(path) + 1):
        key = ".".join(path[:size])
        if key in document:
            return lookup(document[key], path[size:])
    return None


def _other_object(refusal: Refusal) -> bool:
    return any(cause.field == "metadata.uid" for cause in refusal.causes)


def _over(below: Json, above: Json) -> Json:
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        merged[key] = _over(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged
