"""What the containers of simulated pods print, at the turns of their lives."""

from __future__ import annotations

from remediator.sandbox.controllers.ailments import Ailments
from remediator.sandbox.controllers.behaviour import Ailment
from remediator.sandbox.controllers.pod_life import Life, names_of
from remediator.sandbox.controllers.world import World
from remediator.sandbox.resources import Json


class ContainerLog:
    """Prints into the log book of a world."""

    def __init__(self, world: World, ailments: Ailments) -> None:
        """Print at the world's time; `ailments` knows the last words of those that fail."""
        self._world = world
        self._ailments = ailments

    def next_run(self, pod: Json) -> None:
        """Turn the page: what was printed so far is of the previous run."""
        for name in names_of(pod):
            self._world.logs.start(pod["metadata"]["uid"], name)

    def started(self, pod: Json, life: Life) -> None:
        """Print that a container has begun to run."""
        self._print(pod, f"INFO  [{{}}] starting, pod {pod['metadata']['name']}, restart {life.restarts}")

    def ready(self, pod: Json, life: Life) -> None:
        """Print that a container serves."""
        self._print(pod, f"INFO  [{{}}] listening on {life.ip}, ready to serve")

    def unready(self, pod: Json, life: Life) -> None:
        """Print that a container does not serve."""
        self._print(pod, f"WARN  [{{}}] answering 503 on {life.ip}: not ready to serve")

    def crashed(self, pod: Json, life: Life, ailment: Ailment) -> None:
        """Print the last words of a container that fails."""
        if ailment is Ailment.OOM:
            default = "WARN  [{}] heap is at 99 % of its limit"
        else:
            default = "ERROR [{}] cannot get a connection: pool exhausted, 100 of 100 in use"
        self._print(pod, self._ailments.last_words(pod, default))
        if ailment is not Ailment.OOM:
            self._print(pod, f"FATAL [{{}}] exiting: error code {life.exit_code}")

    def _print(self, pod: Json, line: str) -> None:
        for name in names_of(pod):
            self._world.logs.write(pod["metadata"]["uid"], name, self._world.now(), line.replace("{}", name))
