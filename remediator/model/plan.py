"""What would be done: a list of steps from a small closed set, as plain data."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from remediator.model.database import RunStatement
from remediator.model.owners import Lever
from remediator.model.target import Target


class PatchObject(Struct, frozen=True, kw_only=True, tag="patch_object"):
    """Merge-patch one workload. The executor adds resourceVersion, uid, action id and fence.

    ``mark_template`` also puts the action id on the pod template, which makes the change roll out and leaves a proof
    in the ReplicaSet. ``expected`` are dotted paths and the values that they must have in the server's answer.
    ``through``: the object that is written to instead, for it decides about the target. ``by_name``: lists in the patch
    are merged by the names of their items (a strategic merge patch); otherwise they would replace what is there.
    """

    target: Target
    patch: dict[str, Any]
    expected: dict[str, Any] = field(default_factory=dict)
    mark_template: bool = False
    through: Lever | None = None
    by_name: bool = False


class CaptureEvidence(Struct, frozen=True, kw_only=True, tag="capture_evidence"):
    """Read what the runbook's Investigation sections look at, and keep it with the incident. Writes nothing."""

    target: Target
    log_lines: int = 200
    max_bytes: int = 1_000_000
    deadline_s: float = 10.0


class Notify(Struct, frozen=True, kw_only=True, tag="notify"):
    """Tell people, through the outbox."""

    message: str
    urgent: bool = False


Step = PatchObject | RunStatement | CaptureEvidence | Notify


class Wrote(Struct, frozen=True, kw_only=True):
    """One value that an action has written, and where."""

    path: tuple[str, ...]
    value: Any


class Undoes(Struct, frozen=True, kw_only=True):
    """Which action a plan undoes: its number, the mark that it left, and what it wrote. All of it must still stand.

    ``loan``: the action that lent what goes back by itself; ``last``: nothing of that is left afterwards.
    """

    action: int
    mark: str
    wrote: tuple[Wrote, ...]
    loan: int | None = None
    last: bool = True


class Passed(Struct, frozen=True, kw_only=True):
    """A rung that had nothing to do on these facts, so that the next one was planned; ``unknown``: nobody can know."""

    action: str
    reason: str
    message: str
    unknown: bool = False


class Plan(Struct, frozen=True, kw_only=True):
    """Steps in order. ``changes`` tells whether a step writes to the cluster; ``disruptive`` whether pods may end.

    ``undo`` would return the target to what it was, computed from the facts of the decision. ``undoes`` is set where
    the plan is the undo of an earlier action. ``asks``: a person is asked first, also where the rule may act.
    ``return_after_s``: what it writes is lent; it goes back when it was not needed for so many seconds. ``passed``: the
    rungs before it that were left out.
    """

    action: str
    target: Target
    summary: str
    steps: tuple[Step, ...]
    undo: tuple[Step, ...] = ()
    changes: bool = False
    disruptive: bool = False
    undoes: Undoes | None = None
    return_after_s: int | None = None
    asks: bool = False
    passed: tuple[Passed, ...] = ()

    @property
    def statement(self) -> RunStatement | None:
        """Return what is run in a database, None for a plan that runs nothing there."""
        return next((step for step in self.steps if isinstance(step, RunStatement)), None)

    @property
    def lever(self) -> Lever | None:
        """Return the object that is written to instead of the target; None where it is the target itself."""
        return next((step.through for step in self.steps if isinstance(step, PatchObject)), None)


class CannotPlan(Struct, frozen=True, kw_only=True):
    """An action has nothing sensible to do on these facts (already at its cap, wrong kind): a refusal, as a value.

    ``passes``: the next rung may do what this one cannot. ``unknown``: it would have to know what could not be seen.
    """

    reason: str
    message: str
    numbers: dict[str, Any] = field(default_factory=dict)
    passes: bool = False
    unknown: bool = False
