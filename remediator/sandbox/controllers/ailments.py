"""Which pods are ill at this moment: reads the behaviour of pods and workloads, and remembers what a restart cures."""

from __future__ import annotations

from remediator.sandbox.controllers.behaviour import (
    BEHAVIOUR,
    PREFIX,
    Ailment,
    Behaviour,
    BehaviourError,
    exit_code_of,
    read_behaviour,
    seconds_of,
)
from remediator.sandbox.controllers.objects import annotations_of
from remediator.sandbox.controllers.recorder import Happening, Source
from remediator.sandbox.controllers.world import World
from remediator.sandbox.history import Change
from remediator.sandbox.resources import Json

_SOURCE = Source(component="sandbox")
_Mark = tuple[tuple[str, str], ...]


class Ailments:
    """Tells what ails a pod; shared by scheduler and kubelet, who follow the workloads for it."""

    def __init__(self, world: World) -> None:
        """Read from `world`."""
        self._world = world
        # The template annotations (those of the sandbox aside) under which an -until-restarted illness was first seen.
        self._marks: dict[str, tuple[str, _Mark]] = {}

    def note(self, change: Change) -> bool:
        """Follow a change of a workload; tells whether its pods may feel it."""
        workload = change.object
        uid = workload["metadata"]["uid"]
        if change.kind == "DELETED":
            self._marks.pop(uid, None)
            return False
        text = _text(workload["spec"]["template"], workload)
        known = self._marks.get(uid)
        if "-until-restarted" not in text:
            self._marks.pop(uid, None)
        elif known is None or known[0] != text:
            self._marks[uid] = (text, _mark(workload["spec"]["template"]))
        if change.previous is None:
            return bool(text)
        before = _text(change.previous["spec"]["template"], change.previous)
        scaled = change.previous["spec"].get("replicas") != workload["spec"].get("replicas")
        return before != text or (scaled and "-until-scaled" in text)

    def of(self, pod: Json) -> Ailment:
        """Return what ails a pod now; a value that cannot be read is told in an event and taken for healthy."""
        asked = self._asked(pod)
        if all(_may_be_pulled(container["image"]) for container in pod["spec"]["containers"]):
            return asked
        return asked if asked is Ailment.UNSCHEDULABLE else Ailment.IMAGE_PULL

    def _asked(self, pod: Json) -> Ailment:
        workload = self._world.workload_of(pod)
        text = _text(pod, workload)
        if not text:
            return Ailment.HEALTHY
        try:
            behaviour = read_behaviour(text)
        except BehaviourError as error:
            self._complain(pod, error)
            return Ailment.HEALTHY
        return Ailment.HEALTHY if workload and self._is_cured(behaviour, pod, workload) else behaviour.ailment

    def seconds(self, pod: Json, name: str, default: float) -> float:
        """Return how long something takes for a pod: its own annotation, its workload's, or the default."""
        for bearer in (pod, self._world.workload_of(pod)):
            if bearer is not None and PREFIX + name in annotations_of(bearer):
                try:
                    return seconds_of(annotations_of(bearer), name, default)
                except BehaviourError as error:
                    self._complain(pod, error)
        return default

    def exit_code(self, pod: Json, ailment: Ailment) -> int:
        """Return the exit code with which the pod's containers fail."""
        try:
            return exit_code_of(self._annotations(pod), ailment)
        except BehaviourError as error:
            self._complain(pod, error)
            return exit_code_of({}, ailment)

    def last_words(self, pod: Json, default: str) -> str:
        """Return the line that a failing container prints."""
        return self._annotations(pod).get(PREFIX + "log", default)

    def _annotations(self, pod: Json) -> dict[str, str]:
        workload = self._world.workload_of(pod)
        return {**(annotations_of(workload) if workload else {}), **annotations_of(pod)}

    def _is_cured(self, behaviour: Behaviour, pod: Json, workload: Json) -> bool:
        if behaviour.until_replicas:
            return int(workload["spec"].get("replicas", 0)) >= behaviour.until_replicas
        known = self._marks.get(workload["metadata"]["uid"])
        return behaviour.until_restarted and known is not None and _mark(pod) != known[1]

    def _complain(self, pod: Json, error: BehaviourError) -> None:
        what = Happening(reason="BadAnnotation", message=str(error), kind="Warning")
        self._world.events.record(_SOURCE, pod, what)


def _may_be_pulled(image: str) -> bool:
    """Tell whether an image's registry can exist: no name below .invalid is ever resolved (RFC 2606, section 2)."""
    registry, slash, _ = image.partition("/")
    return not (slash and registry.partition(":")[0].endswith(".invalid"))


def _text(bearer: Json, workload: Json | None) -> str:
    own = annotations_of({"metadata": bearer.get("metadata") or {}}).get(BEHAVIOUR)
    return own if own is not None else annotations_of(workload).get(BEHAVIOUR, "") if workload else ""


def _mark(bearer: Json) -> _Mark:
    annotations = annotations_of({"metadata": bearer.get("metadata") or {}})
    return tuple(sorted(item for item in annotations.items() if not item[0].startswith(PREFIX)))
