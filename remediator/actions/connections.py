"""What the actions on connections share: when nothing may be changed, and how many connections there may be.

The cap from memory is an estimate, stated in docs/how-to/raise-connections.md: four fifths of the memory, less
shared_buffers, divided by what one connection may take (work_mem, and its process).
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from remediator.actions.shape import Parameters, Permission
from remediator.model.database import DatabaseFacts
from remediator.model.facts import Facts, WorkloadFacts
from remediator.model.plan import CannotPlan
from remediator.model.target import Kind, Target

Count = Annotated[int, Meta(ge=1, le=9_999)]
PROCESS_BYTES = 2 * 2**20
"""What a server process takes for itself, without what its queries need."""
MEMORY_PERCENT = 80
LEAST_STEP = 10
"""Up to so many more are allowed in one step also where that is more than as many again."""

KINDS = frozenset({Kind.DEPLOYMENT, Kind.STATEFULSET})
READS = (
    Permission(group="", resources=("pods",), verbs=("get", "list")),
    Permission(group="apps", resources=("deployments", "statefulsets"), verbs=("get", "list")),
)
"""What has to be read in the cluster where only the database is written to."""

ADVICE = {
    "Patroni": "change it there: patronictl edit-config --pg max_connections=..., or ALTER ROLE on the leader",
    "CloudNativePG": "change it there: spec.postgresql.parameters, or spec.managed.roles, of its Cluster",
    "Zalando postgres-operator": "change it there: spec.postgresql.parameters of its postgresql resource",
    "Crunchy postgres-operator": "change it there: spec.patroni.dynamicConfiguration of its PostgresCluster",
}


class HowFar(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far to go: ``to`` so many connections, or ``step`` more than now, up to ``max``."""

    to: Count | None = None
    step: Count | None = None
    max: Count | None = None


class Aim(Struct, frozen=True, kw_only=True):
    """How many connections there may be: ``wanted`` is what the rule asks for, ``count`` what is allowed of it."""

    before: int
    wanted: int
    count: int
    numbers: dict[str, Any]

    @property
    def less(self) -> str:
        """Say so where less is done than was asked for."""
        return f" (asked for {self.wanted}, cut to what one step or the caps allow)" if self.count < self.wanted else ""


def faults(parameters: Any) -> tuple[str, ...]:
    """Say whether it is unclear how far to go."""
    how = "say how far: 'to' (how many connections), or 'step' and 'max' (how many more, up to how many)"
    given = (parameters.to is not None, parameters.step is not None, parameters.max is not None)
    return () if given in {(True, False, False), (False, True, True)} else (how,)


def known(target: Target, facts: Facts) -> tuple[WorkloadFacts, DatabaseFacts] | CannotPlan:
    """Return what is known of the workload and its database, or why nothing may be changed there."""
    workload, view = facts.workload, facts.database
    if workload is None:
        return CannotPlan(reason="unknown", message=f"nothing is known about {target}")
    if view is None:
        message = f"no database is known to run in {target}: give it an entry in the file of databases (--databases)"
        return CannotPlan(reason="no_database", message=message)
    if view.facts is None:
        return CannotPlan(
            reason="database_unknown",
            message=f"nothing is known of the database of {target}: {view.problem}",
            unknown=True,
        )
    manager = workload.operator or view.facts.managed_by
    if manager:
        advice = ADVICE.get(manager, "change it there")
        message = f"{manager} decides about the settings of {target} and would take a change back: {advice}"
        return CannotPlan(reason="managed", message=message, numbers={"managed_by": manager})
    if view.facts.in_recovery:
        message = f"database {view.facts.name} is a standby: change the primary, and where its settings come from"
        return CannotPlan(reason="standby", message=message)
    return workload, view.facts


def aim(parameters: Any, before: int, caps: dict[str, int]) -> Aim:
    """Return how far one step goes from ``before``: at most twice as many, and no further than any of the caps."""
    wanted = parameters.to if parameters.to is not None else before + (parameters.step or 0)
    bounds = {"largest_step_to": max(before * 2, before + LEAST_STEP), **caps}
    if parameters.max is not None:
        bounds["max"] = parameters.max
    count = min(wanted, *bounds.values())
    return Aim(before=before, wanted=wanted, count=count, numbers={"before": before, "wanted": wanted, **bounds})


def no_room(what: str, found: Aim) -> CannotPlan:
    """Return the refusal of a change that would raise nothing."""
    if found.wanted <= found.before:
        message = f"{what} is {found.before} already, the rule asks for {found.wanted}"
        return CannotPlan(reason="already", message=message, numbers=found.numbers)
    bounds = {key: value for key, value in found.numbers.items() if key not in {"before", "wanted"}}
    tightest = min(bounds, key=lambda key: bounds[key])
    message = f"{what} is {found.before}, and may be at most {bounds[tightest]} ({tightest.replace('_', ' ')})"
    return CannotPlan(reason="at_cap", message=message, numbers=found.numbers)


def memory_cap(database: DatabaseFacts, workload: WorkloadFacts, container: str) -> int | None:
    """Return how many connections the memory allows; None where nobody said how much memory there is."""
    limits = {one.name: one.memory for one in workload.containers}
    memory = database.memory if database.memory is not None else limits.get(container)
    if memory is None:
        return None
    free = memory * MEMORY_PERCENT // 100 - database.shared_buffers
    return max(free // (database.work_mem + PROCESS_BYTES), 0)


def memory_unknown(database: DatabaseFacts, container: str) -> CannotPlan:
    """Return the refusal to raise what nobody can say there is memory for."""
    message = (
        f"it is not known how much memory database {database.name} may use: container {container} has no memory limit, "
        "and its entry says none (memory = '4GiB')"
    )
    return CannotPlan(reason="memory_unknown", message=message)
