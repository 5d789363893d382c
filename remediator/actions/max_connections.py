"""Raises max_connections: by the workload's environment, which restarts it, or in the server's configuration.

Both ask a person first, unless the rule says otherwise: the first restarts a database, the second changes what the next
restart does.
"""

from __future__ import annotations

import re

from remediator.actions.connections import (
    KINDS,
    READS,
    HowFar,
    aim,
    faults,
    known,
    memory_cap,
    memory_unknown,
    no_room,
)
from remediator.actions.shape import ActionType, Permission
from remediator.model.database import DatabaseFacts, RunStatement, SetServerMaximum
from remediator.model.facts import Facts, WorkloadFacts
from remediator.model.plan import CannotPlan, PatchObject, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rule
from remediator.model.target import Target

VARIABLE = "MAX_CONNECTIONS"
PATH = ("spec", "template", "spec", "containers")
_NUMBER = re.compile(r"[1-9][0-9]{0,3}")


class MaximumParameters(HowFar, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``container``: the one that PostgreSQL runs in. ``without_asking``: no person is asked first.

    ``allow_gitops``: also where Argo CD or Flux keeps the workload as it is in Git, for this is known not to be there.
    """

    container: str = "postgres"
    without_asking: bool = False
    allow_gitops: bool = False


class ConfigureParameters(HowFar, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``container``: the one whose memory limit counts. ``without_asking``: no person is asked first."""

    container: str = "postgres"
    without_asking: bool = False


def plan_workload(
    target: Target, parameters: MaximumParameters, facts: Facts, _rule: Rule, _policy: Policy
) -> Plan | CannotPlan:
    """Plan another value of the environment variable, which rolls the pods."""
    found = known(target, facts)
    if isinstance(found, CannotPlan):
        return found
    workload, database = found
    before = _variable(target, parameters, facts, workload)
    if isinstance(before, CannotPlan):
        return before
    wish = _raised(database, workload, parameters, before)
    if isinstance(wish, CannotPlan):
        return wish
    count, less = wish
    where = f"{VARIABLE} of container {parameters.container} of {target}"
    return Plan(
        action="raise_max_connections",
        target=target,
        summary=f"raise {where} from {before} to {count}, which restarts the database{less}",
        steps=(_patch(target, parameters.container, count),),
        undo=(_patch(target, parameters.container, before),),
        changes=True,
        disruptive=True,
        asks=not parameters.without_asking,
    )


def plan_server(
    target: Target, parameters: ConfigureParameters, facts: Facts, _rule: Rule, _policy: Policy
) -> Plan | CannotPlan:
    """Plan another value in the server's configuration, which counts from its next restart."""
    found = known(target, facts)
    if isinstance(found, CannotPlan):
        return found
    workload, database = found
    if database.pending is not None:
        message = (
            f"max_connections of database {database.name} is configured as {database.pending} already and waits for a "
            "restart, which is an action of its own"
        )
        return CannotPlan(reason="pending_restart", message=message, numbers={"pending": database.pending})
    if database.server_most == 0:
        message = (
            f"the owner of database {database.name} does not let us change max_connections (remediator_limits.allowed)"
        )
        return CannotPlan(reason="not_allowed", message=message)
    wish = _raised(database, workload, parameters, database.max_connections, allowed=database.server_most)
    if isinstance(wish, CannotPlan):
        return wish
    count, less = wish
    before = database.max_connections
    return Plan(
        action="configure_max_connections",
        target=target,
        summary=(
            f"configure max_connections of database {database.name} of {target} as {count}, was {before}; it counts "
            f"after a restart, which is a separate action{less}"
        ),
        steps=(_statement(target, database, before, count),),
        undo=(_statement(target, database, count, before),),
        changes=True,
        asks=not parameters.without_asking,
    )


def _raised(
    database: DatabaseFacts,
    workload: WorkloadFacts,
    parameters: MaximumParameters | ConfigureParameters,
    before: int,
    allowed: int | None = None,
) -> tuple[int, str] | CannotPlan:
    """Return how many connections there are to be, and a word where that is less than was asked for."""
    if database.standbys:
        message = (
            f"database {database.name} has {database.standbys} standbys, which need as many connections as it has: "
            "raise theirs first"
        )
        return CannotPlan(reason="standbys", message=message, numbers={"standbys": database.standbys})
    memory = memory_cap(database, workload, parameters.container)
    if memory is None:
        return memory_unknown(database, parameters.container)
    caps = {"memory_allows": memory} | ({} if allowed is None else {"allowed": allowed})
    wish = aim(parameters, before, caps)
    if wish.count <= before:
        return no_room("max_connections", wish)
    return wish.count, wish.less


def _variable(target: Target, parameters: MaximumParameters, facts: Facts, workload: WorkloadFacts) -> int | CannotPlan:
    """Return the variable's value now, or why it must not be changed."""
    container = next((one for one in workload.containers if one.name == parameters.container), None)
    if container is None:
        names = ", ".join(one.name for one in workload.containers) or "none is known"
        message = f"{target} has no container {parameters.container} ({names}); name it in the rule (container: ...)"
        return CannotPlan(reason="no_container", message=message)
    if not _NUMBER.fullmatch(container.max_connections):
        message = (
            f"container {container.name} of {target} has no {VARIABLE} with a number: what it was started with is not "
            "known, and setting it may do nothing"
        )
        return CannotPlan(reason="no_variable", message=message)
    keeper = facts.around.keeper if facts.around is not None else None
    if not parameters.allow_gitops and keeper is not None and keeper.reverts(*PATH):
        message = f"{keeper} keeps {target} as it is in Git and would take it back: change {VARIABLE} there"
        return CannotPlan(reason="kept_in_git", message=message, numbers={"keeper": keeper.name})
    return _rolls(target, workload) or int(container.max_connections)


def _rolls(target: Target, workload: WorkloadFacts) -> CannotPlan | None:
    """Return why a change of the pod template would do nothing, or more than a restart."""
    if workload.deleting or workload.paused:
        word = "being deleted" if workload.deleting else "paused, nothing would roll out"
        return CannotPlan(reason="paused", message=f"{target} is {word}")
    if workload.replicas != 1:
        message = f"{target} wants {workload.replicas} pods: how to restart more than one server is for people to say"
        return CannotPlan(reason="pods", message=message, numbers={"replicas": workload.replicas})
    if workload.strategy == "OnDelete":
        return CannotPlan(
            reason="strategy", message=f"the pods of {target} stay as they are until somebody deletes them"
        )
    return None


def _patch(target: Target, container: str, count: int) -> PatchObject:
    """Return the write of one absolute value of the variable; lists are merged by name, so nothing else is touched."""
    variable = {"name": VARIABLE, "value": str(count)}
    spec = {"containers": [{"name": container, "env": [variable]}]}
    return PatchObject(
        target=target,
        patch={"spec": {"template": {"spec": spec}}},
        expected={".".join((*PATH, container, "env", VARIABLE, "value")): str(count)},
        mark_template=True,
        by_name=True,
    )


def _statement(target: Target, database: DatabaseFacts, before: int, value: int) -> RunStatement:
    return RunStatement(target=target, database=database.name, statement=SetServerMaximum(before=before, value=value))


RAISE_MAX_CONNECTIONS = ActionType(
    name="raise_max_connections",
    title="Raise MAX_CONNECTIONS of a database's container, which restarts the database; asks first",
    parameters=MaximumParameters,
    kinds=KINDS,
    changes=True,
    disruptive=True,
    permissions=(
        Permission(group="", resources=("pods",), verbs=("get", "list")),
        Permission(group="apps", resources=("controllerrevisions", "replicasets"), verbs=("get", "list")),
        Permission(group="apps", resources=("deployments", "statefulsets"), verbs=("get", "patch")),
        Permission(group="argoproj.io", resources=("applications",), verbs=("list",), cluster=True),
    ),
    plan=plan_workload,
    faults=faults,
    surroundings=True,
    passes=True,
)
CONFIGURE_MAX_CONNECTIONS = ActionType(
    name="configure_max_connections",
    title="Configure max_connections (ALTER SYSTEM) for the next restart of a database; asks first",
    parameters=ConfigureParameters,
    kinds=KINDS,
    changes=True,
    disruptive=False,
    permissions=READS,
    plan=plan_server,
    faults=faults,
    surroundings=True,
    passes=True,
)
