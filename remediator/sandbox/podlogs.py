"""The log subresource of pods: what the API server itself checks, and lines from whoever simulates the containers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from remediator.sandbox.calls import Answer, Call, Target
from remediator.sandbox.resources import PODS, Json, Resource
from remediator.sandbox.status import ApiError, Cause, bad_request, invalid_kind, not_found
from remediator.sandbox.store import Store
from remediator.sandbox.validation.faults import bad, not_negative

MAX_LINES = 100_000
_PULLING = {"ErrImagePull", "ImagePullBackOff"}


class LogLine(NamedTuple):
    """One line that a container wrote."""

    at: datetime
    text: str


class LogSource(Protocol):
    """Whoever simulates containers and knows what they wrote."""

    def lines(self, pod: Json, container: str, *, previous: bool) -> Sequence[LogLine]:
        """Return the lines of a container's present instance (or of the one before it), oldest first."""


class NoLogs:
    """The source where nothing runs: every container is silent."""

    def lines(self, pod: Json, container: str, *, previous: bool) -> Sequence[LogLine]:  # noqa: ARG002 - the Protocol's
        """Return nothing."""
        return ()


class _Options(NamedTuple):
    container: str
    previous: bool
    tail: int | None
    limit_bytes: int | None
    since: datetime | None
    timestamps: bool


def read_log(store: Store, source: LogSource, resource: Resource, call: Call, target: Target) -> Answer:
    """Answer a GET of a pod's log as text; ApiError 400, 404 and 422."""
    options = _options(store, call, target.name)
    pod = store.find(PODS, target.namespace, target.name)
    if pod is None:
        raise not_found(resource, target.name)
    container = _container(pod, options.container)
    _check_started(pod, container, previous=options.previous)
    lines = list(source.lines(pod, container, previous=options.previous))[-MAX_LINES:]
    if options.since is not None:
        lines = [line for line in lines if line.at >= options.since]
    if options.tail is not None:
        lines = lines[len(lines) - min(options.tail, len(lines)) :]
    text = "".join(f"{_stamp(line.at)} {line.text}\n" if options.timestamps else f"{line.text}\n" for line in lines)
    if options.limit_bytes is not None:
        text = text.encode()[: options.limit_bytes].decode(errors="ignore")
    return Answer(text, content_type="text/plain")


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _options(store: Store, call: Call, name: str) -> _Options:
    tail, limit, seconds = call.number("tailLines"), call.number("limitBytes"), call.number("sinceSeconds")
    time_text = call.query.get("sinceTime")
    causes = not_negative("tailLines", tail)
    for field, value in (("limitBytes", limit), ("sinceSeconds", seconds)):
        if value is not None and value < 1:
            causes.append(bad(field, value, "must be greater than 0"))
    if seconds is not None and time_text:
        message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        causes.append(Cause("FieldValueForbidden", message, "[]"))
    if causes:
        raise invalid_kind("PodLogOptions", "", name, causes)
    since: datetime | None = None
    if seconds is not None:
        since = store.clock.now() - timedelta(seconds=seconds)
    elif time_text:
        since = _read_time(time_text)
    return _Options(call.query.get("container", ""), call.flag("previous"), tail, limit, since, call.flag("timestamps"))


def _read_time(text: str) -> datetime:
    try:
        moment: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise bad_request(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse')
    return moment


def _container(pod: Json, wanted: str) -> str:
    spec = pod["spec"]
    names = [str(item["name"]) for item in spec.get("containers") or ()]
    others = [str(item["name"]) for item in spec.get("initContainers") or ()]
    pod_name = pod["metadata"]["name"]
    if wanted:
        if wanted not in names + others:
            raise bad_request(f"container {wanted} is not valid for pod {pod_name}")
        return wanted
    if len(names) > 1:
        choices = " ".join(names)
        raise bad_request(f"a container name must be specified for pod {pod_name}, choose one of: [{choices}]")
    return names[0]


def _check_started(pod: Json, container: str, *, previous: bool) -> None:
    statuses = [
        *((pod.get("status") or {}).get("containerStatuses") or ()),
        *((pod.get("status") or {}).get("initContainerStatuses") or ()),
    ]
    status = next((item for item in statuses if item["name"] == container), None)
    name = pod["metadata"]["name"]
    ended = ((status or {}).get("lastState") or {}).get("terminated")
    if previous and not ended:
        raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
    if status is None:
        if not pod["spec"].get("nodeName"):
            raise ApiError(400, f"pod {name} does not have a host assigned", "BadRequest")
        raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: ContainerCreating')
    waiting = (status.get("state") or {}).get("waiting")
    # A container that waits to be started again still shows the log of its run that has ended, as a kubelet does.
    if waiting and not ended and not previous:
        reason = "trying and failing to pull image" if waiting.get("reason") in _PULLING else waiting.get("reason")
        raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
