"""The simulated kubelet of every node: runs, readies, crashes and ends pods, and keeps their logs."""

from __future__ import annotations

from collections.abc import Iterable

from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.ailments import Ailments
from remediator.sandbox.controllers.behaviour import Ailment
from remediator.sandbox.controllers.container_log import ContainerLog
from remediator.sandbox.controllers.node_fitness import is_up
from remediator.sandbox.controllers.objects import is_going, is_ready, key_of, moment_of
from remediator.sandbox.controllers.pod_life import (
    Life,
    Stage,
    ended_run,
    names_of,
    pull_back_off,
    pull_failed,
    status_of,
)
from remediator.sandbox.controllers.recorder import Happening, Source
from remediator.sandbox.controllers.world import WORKLOADS, World
from remediator.sandbox.history import Change
from remediator.sandbox.resources import NODES, PODS, Json

_FAILING = {Ailment.CRASH, Ailment.OOM}
_NODE_CIDR = "10.244"
_HOSTS = 254


class Kubelet:
    """Moves pods through their lives."""

    watches = (PODS, NODES, *WORKLOADS.values())

    def __init__(self, world: World, ailments: Ailments) -> None:
        """Work in `world`; `ailments` tells what is wrong with whom."""
        self._world = world
        self._ailments = ailments
        self._log = ContainerLog(world, ailments)
        self._lives: dict[str, Life] = {}
        self._addresses = 0

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield bound pods that came or changed, the pods of a workload that fell ill or was cured, a node's pods."""
        if change.resource == PODS:
            if change.kind == "DELETED":
                self._lives.pop(change.object["metadata"]["uid"], None)
                self._world.logs.forget(change.object["metadata"]["uid"])
            elif change.object["spec"].get("nodeName"):
                yield change.namespace, change.name
        elif change.resource == NODES:
            if is_up(change.previous) != is_up(change.object):
                pods = self._world.store.list(PODS)
                yield from (key_of(pod) for pod in pods if pod["spec"].get("nodeName") == change.name)
        elif self._ailments.note(change):
            yield from (key_of(pod) for pod in self._world.pods_of(change.object))

    def reconcile(self, key: Key) -> None:
        """Take the next step in the life of one pod, if it is time."""
        pod = self._world.store.find(PODS, *key)
        if pod is None or not pod["spec"].get("nodeName"):
            return
        life = self._lives.get(pod["metadata"]["uid"]) or self._begin(pod)
        if is_going(pod):
            self._end(pod, life)
        else:
            self._go_on(pod, life)
        if life.due is not None:
            self._world.agenda.at(life.due, self, key)

    def _go_on(self, pod: Json, life: Life) -> None:
        if self._is_due(life):
            life.due = None
            self._step(pod, life)
        else:
            self._disturb(pod, life)
        self._show(pod, life)

    def _begin(self, pod: Json) -> Life:
        self._addresses += 1
        high, low = divmod(self._addresses, _HOSTS)
        old = pod.get("status") or {}
        ip = old.get("podIP") or f"{_NODE_CIDR}.{high % (_HOSTS + 1)}.{low + 1}"
        metadata = pod["metadata"]
        life = Life(uid=metadata["uid"], node=pod["spec"]["nodeName"], ip=ip, born=self._world.now())
        self._lives[life.uid] = life
        if is_ready(pod):
            # A pod that was put into the store as it is goes on from there.
            life.stage, life.started = Stage.READY, moment_of(old.get("startTime")) or life.born
            life.restarts = max((item.get("restartCount", 0) for item in old.get("containerStatuses") or ()), default=0)
            self._log.started(pod, life)
        else:
            self._wait(pod, life, self._ailments.seconds(pod, "run-after", self._world.pace.run_after))
        return life

    def _step(self, pod: Json, life: Life) -> None:
        match life.stage:
            case Stage.CREATING | Stage.PULL_BACK_OFF:
                self._start_or_fail_to(pod, life)
            case Stage.PULL_FAILED:
                self._turn(life, Stage.PULL_BACK_OFF)
                self._pull_back_off(pod, life)
            case Stage.STARTED:
                self._live(pod, life)
            case Stage.READY:
                self._crash(pod, life)
            case Stage.EXITED:
                self._turn(life, Stage.BACK_OFF)
                self._back_off(pod, life)
            case Stage.BACK_OFF:
                self._run(pod, life)

    def _disturb(self, pod: Json, life: Life) -> None:
        """Let what has changed around a running pod take hold: an illness, a cure, a node that is down."""
        if life.stage is Stage.READY and life.due is None:
            ailment = self._ailments.of(pod)
            if ailment in _FAILING:
                self._wait(pod, life, self._ailments.seconds(pod, "crash-after", self._world.pace.crash_after))
            elif ailment is Ailment.UNREADY or not self._node_is_up(life):
                self._turn(life, Stage.STARTED)
                self._log.unready(pod, life)
        elif life.stage is Stage.STARTED and life.due is None and self._may_get_ready(pod, life):
            self._settle(pod, life)

    def _start_or_fail_to(self, pod: Json, life: Life) -> None:
        if self._ailments.of(pod) is not Ailment.IMAGE_PULL:
            self._run(pod, life)
            return
        self._turn(life, Stage.PULL_FAILED)
        for name, image in _images(pod):
            self._tell(pod, life, Happening(reason="Pulling", message=f'Pulling image "{image}"', container=name))
            self._tell(
                pod, life, Happening(reason="Failed", message=pull_failed(image), kind="Warning", container=name)
            )
        self._wait(pod, life, self._world.pace.exit_pause)

    def _pull_back_off(self, pod: Json, life: Life) -> None:
        for name, image in _images(pod):
            what = Happening(reason="BackOff", message=pull_back_off(image), kind="Warning", container=name)
            self._tell(pod, life, what)
        self._wait(pod, life, self._longer_wait(pod, life))

    def _run(self, pod: Json, life: Life) -> None:
        if life.stage is Stage.BACK_OFF:
            life.restarts += 1
            self._log.next_run(pod)
        life.started, life.ended = self._world.now(), None
        self._turn(life, Stage.STARTED)
        self._log.started(pod, life)
        for name, image in _images(pod):
            present = f'Container image "{image}" already present on machine'
            self._tell(pod, life, Happening(reason="Pulled", message=present, container=name))
            self._tell(pod, life, Happening(reason="Created", message=f"Created container: {name}", container=name))
            self._tell(pod, life, Happening(reason="Started", message=f"Started container {name}", container=name))
        self._settle(pod, life)

    def _settle(self, pod: Json, life: Life) -> None:
        """Plan what becomes of a container that has started."""
        ailment, pace = self._ailments.of(pod), self._world.pace
        if ailment in _FAILING:
            self._wait(pod, life, self._ailments.seconds(pod, "crash-after", pace.crash_after))
        elif ailment is Ailment.UNREADY:
            self._log.unready(pod, life)
            message = "Readiness probe failed: HTTP probe failed with statuscode: 503"
            for name in names_of(pod):
                self._tell(pod, life, Happening(reason="Unhealthy", message=message, kind="Warning", container=name))
        else:
            self._wait(pod, life, self._ailments.seconds(pod, "ready-after", pace.ready_after))

    def _live(self, pod: Json, life: Life) -> None:
        ailment = self._ailments.of(pod)
        if ailment in _FAILING:
            self._crash(pod, life)
        elif ailment is not Ailment.UNREADY and self._node_is_up(life):
            self._turn(life, Stage.READY)
            life.wait = 0.0
            self._log.ready(pod, life)

    def _crash(self, pod: Json, life: Life) -> None:
        ailment = self._ailments.of(pod)
        if ailment not in _FAILING:
            return
        life.exit_code, life.ended = self._ailments.exit_code(pod, ailment), self._world.now()
        self._log.crashed(pod, life, ailment)
        reason = "OOMKilled" if ailment is Ailment.OOM else "Error"
        life.last_run, life.last_number = ended_run(life, reason), life.restarts
        self._turn(life, Stage.EXITED)
        self._wait(pod, life, self._world.pace.exit_pause)

    def _back_off(self, pod: Json, life: Life) -> None:
        metadata = pod["metadata"]
        whole = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        for name in names_of(pod):
            message = f"Back-off restarting failed container {name} in pod {whole}"
            self._tell(pod, life, Happening(reason="BackOff", message=message, kind="Warning", container=name))
        self._wait(pod, life, self._longer_wait(pod, life))

    def _longer_wait(self, pod: Json, life: Life) -> float:
        pace = self._world.pace
        first = self._ailments.seconds(pod, "back-off", pace.back_off)
        most = self._ailments.seconds(pod, "back-off-limit", pace.back_off_limit)
        life.wait = min(most, life.wait * 2) if life.wait else first
        return life.wait

    def _end(self, pod: Json, life: Life) -> None:
        if life.stage is Stage.ENDING:
            if self._is_due(life):
                life.due = None
                self._world.store.remove(PODS, *key_of(pod))
            return
        self._turn(life, Stage.ENDING)
        grace = pod["metadata"].get("deletionGracePeriodSeconds", 0)
        seconds = self._ailments.seconds(pod, "terminate-after", self._world.pace.terminate_after)
        for name in names_of(pod):
            self._tell(pod, life, Happening(reason="Killing", message=f"Stopping container {name}", container=name))
        self._wait(pod, life, min(float(grace), seconds))

    def _turn(self, life: Life, stage: Stage) -> None:
        life.stage, life.due = stage, None

    def _wait(self, pod: Json, life: Life, seconds: float) -> None:
        life.due = self._world.agenda.after(seconds, self, key_of(pod))

    def _is_due(self, life: Life) -> bool:
        return life.due is not None and life.due <= self._world.agenda.clock.monotonic()

    def _show(self, pod: Json, life: Life) -> None:
        if self._world.store.find(PODS, *key_of(pod)) is not None:
            self._world.store.update_status(PODS, *key_of(pod), status_of(pod, life, self._world.now()))

    def _may_get_ready(self, pod: Json, life: Life) -> bool:
        return self._node_is_up(life) and self._ailments.of(pod) is not Ailment.UNREADY

    def _node_is_up(self, life: Life) -> bool:
        return is_up(self._world.store.find(NODES, "", life.node))

    def _tell(self, pod: Json, life: Life, what: Happening) -> None:
        self._world.events.record(Source(component="kubelet", host=life.node), pod, what)


def _images(pod: Json) -> Iterable[tuple[str, str]]:
    return ((item["name"], item["image"]) for item in pod["spec"]["containers"])
