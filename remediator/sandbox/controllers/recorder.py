"""Writes the events that controllers and kubelets leave; a repeated one is counted on the object that is there."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from remediator.sandbox.clock import timestamp
from remediator.sandbox.resources import EVENTS, Json
from remediator.sandbox.store import Store

_KEPT = 20_000

_Sameness = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who leaves an event: a component, for kubelets with the node it runs on."""

    component: str
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """What happened: `kind` is Normal or Warning."""

    reason: str
    message: str
    kind: str = "Normal"
    container: str = ""


class Recorder:
    """Leaves events in the store; beyond a limit the oldest go first, as a real cluster's go by age."""

    def __init__(self, store: Store, kept: int = _KEPT) -> None:
        """Write into `store`, at its clock's time; at most `kept` events of its own stay there."""
        self._store = store
        self._kept = kept
        self._known: OrderedDict[_Sameness, str] = OrderedDict()
        self._written: OrderedDict[tuple[str, str], None] = OrderedDict()

    def record(self, source: Source, about: Json, what: Happening) -> None:
        """Leave an event about an object; the same message again only raises the count."""
        metadata = about["metadata"]
        namespace = metadata.get("namespace") or "default"
        sameness = (metadata["uid"], source.component, what.reason, what.message, what.container)
        name = self._known.get(sameness)
        now = timestamp(self._store.clock.now())
        if name is not None and self._store.find(EVENTS, namespace, name) is not None:
            self._store.mutate(
                EVENTS, namespace, name, lambda event: {**event, "count": event["count"] + 1, "lastTimestamp": now}
            )
            self._known.move_to_end(sameness)
            return
        event = _event(source, about, what, now)
        event["metadata"] = {"name": f"{metadata['name']}.{self._store.ids.suffix(16)}", "namespace": namespace}
        name = self._store.create(EVENTS, event)["metadata"]["name"]
        self._known[sameness] = str(name)
        self._written[namespace, str(name)] = None
        self._forget()

    def _forget(self) -> None:
        while len(self._known) > self._kept:
            self._known.popitem(last=False)
        while len(self._written) > self._kept:
            (namespace, name), _ = self._written.popitem(last=False)
            self._store.remove(EVENTS, namespace, name)


def _event(source: Source, about: Json, what: Happening, now: str) -> Json:
    metadata = about["metadata"]
    involved = {
        "kind": about["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": about["apiVersion"],
        "resourceVersion": metadata["resourceVersion"],
    }
    if metadata.get("namespace"):
        involved["namespace"] = metadata["namespace"]
    if what.container:
        involved["fieldPath"] = f"spec.containers{{{what.container}}}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": involved,
        "reason": what.reason,
        "message": what.message,
        "source": {"component": source.component, **({"host": source.host} if source.host else {})},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "type": what.kind,
        "eventTime": None,
        "reportingComponent": source.component,
        "reportingInstance": source.host,
    }
