"""Values that tests of the core start from: all is well and every guard says yes; a test changes what it is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from remediator.core.guardrails import looks, scopes
from remediator.model.action import Action, ActionState, PastAction
from remediator.model.case import Case, History, Touched, Window
from remediator.model.facts import Facts, Population, WorkloadFacts
from remediator.model.freeze import Freeze
from remediator.model.incident import Candidate, Cause
from remediator.model.owners import Surroundings
from remediator.model.pause import Pause, PauseScope
from remediator.model.plan import CaptureEvidence, PatchObject, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Limits, Matcher, MatchOp, Mode, Rule, Rung, Severity, TargetSpec
from remediator.model.target import Kind, Target

NOW = datetime(2025, 3, 14, 3, 0, 0, tzinfo=UTC)
BACKSTAGE = Target(kind=Kind.DEPLOYMENT, namespace="backstage", name="backstage", uid="uid-1")


def ago(seconds: float) -> datetime:
    """Return the moment so many seconds before NOW."""
    return NOW - timedelta(seconds=seconds)


def after(seconds: float) -> datetime:
    """Return the moment so many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def workload(target: Target = BACKSTAGE, **changes: Any) -> WorkloadFacts:
    """Return a healthy workload of 3 pods; ``replicas`` alone keeps all of them updated, ready and available."""
    count = changes.get("replicas", 3)
    healthy = WorkloadFacts(
        target=target,
        resource_version="100",
        generation=4,
        observed_generation=4,
        replicas=count,
        updated=count,
        ready=count,
        available=count,
        current=count,
        progress="NewReplicaSetAvailable",
        images=("example.com/backstage:1.2.3",),
    )
    return structs.replace(healthy, **changes)


def facts(load: WorkloadFacts | None = None, **changes: Any) -> Facts:
    """Return facts read just now."""
    return structs.replace(Facts(read_at=NOW, workload=load or workload(), around=Surroundings()), **changes)


def rule(**changes: Any) -> Rule:
    """Return an enforcing rule with the ladder investigate, restart, scale."""
    base = Rule(
        name="service-unavailable",
        match=(Matcher(label="alertname", op=MatchOp.EQUAL, value="BackstageDown"),),
        severity=Severity.P1,
        target=TargetSpec(namespaces=("backstage",), kinds=(Kind.DEPLOYMENT, Kind.STATEFULSET, Kind.DAEMONSET)),
        ladder=(
            Rung(action="investigate", parameters={}),
            Rung(action="restart", parameters={}),
            Rung(action="scale", parameters={"to": 6}),
        ),
        limits=Limits(),
        mode=Mode.ENFORCE,
    )
    return structs.replace(base, **changes)


def candidate(**changes: Any) -> Candidate:
    """Return a candidate for the first rung."""
    base = Candidate(
        id=1,
        cause=Cause.SIGNAL,
        rule="service-unavailable",
        rung=0,
        source="alertmanager",
        fingerprint="0123456789abcdef",
        labels={"alertname": "BackstageDown", "namespace": "backstage", "deployment": "backstage"},
        first_seen_at=ago(5),
    )
    return structs.replace(base, **changes)


def restart_plan(target: Target = BACKSTAGE) -> Plan:
    """Return a disruptive plan."""
    return Plan(
        action="restart",
        target=target,
        summary=f"restart {target}",
        steps=(PatchObject(target=target, patch={}, mark_template=True),),
        changes=True,
        disruptive=True,
    )


def scale_plan(count: int = 6, before: int = 3, target: Target = BACKSTAGE) -> Plan:
    """Return a plan that changes without disrupting."""

    def step(replicas: int) -> PatchObject:
        return PatchObject(target=target, patch={"spec": {"replicas": replicas}}, expected={"spec.replicas": replicas})

    return Plan(
        action="scale",
        target=target,
        summary=f"scale {target} from {before} to {count} pods",
        steps=(step(count),),
        undo=(step(before),),
        changes=True,
    )


def look_plan(target: Target = BACKSTAGE) -> Plan:
    """Return a plan that changes nothing."""
    return Plan(
        action="investigate", target=target, summary=f"look at {target}", steps=(CaptureEvidence(target=target),)
    )


def past(
    number: int, state: ActionState, *, admitted_s: float, ended_s: float | None = None, **changes: Any
) -> PastAction:
    """Return an earlier restart, admitted and ended so many seconds before NOW."""
    base = PastAction(
        number=number,
        action="restart",
        rule="service-unavailable",
        target_key=BACKSTAGE.key,
        namespace=BACKSTAGE.namespace,
        state=state,
        admitted_at=ago(admitted_s),
        ended_at=None if ended_s is None else ago(ended_s),
    )
    return structs.replace(base, **changes)


def case(**changes: Any) -> Case:
    """Return a case that every guard lets through; its windows are counted and empty unless a history is given."""
    the_rule, policy = changes.get("rule", rule()), changes.get("policy", Policy())
    the_plan = changes.get("plan", restart_plan())
    scopes_wanted = (*scopes(the_rule, the_plan.target, policy), looks(the_plan.action, policy))
    windows = dict.fromkeys(scopes_wanted, Window(count=0))
    base = Case(
        now=NOW,
        candidate=candidate(),
        rule=the_rule,
        plan=the_plan,
        facts=facts(workload(the_plan.target)),
        history=History(windows=windows),
        policy=policy,
    )
    return structs.replace(base, **changes)


def history(of: Case, **changes: Any) -> Case:
    """Return the case with something else in its history."""
    return structs.replace(of, history=structs.replace(of.history, **changes))


def window(of: Case, kind: str, found: Window, nth: int = 0) -> Case:
    """Return the case with the ``nth`` window of that kind counted as ``found``."""
    scope = [one for one in of.history.windows if one.kind == kind][nth]
    return history(of, windows={**of.history.windows, scope: found})


def pause(**changes: Any) -> Pause:
    """Return a pause of everything, an hour old, that ends in an hour."""
    base = Pause(number=1, scope=PauseScope.GLOBAL, reason="migration", actor="ann", since=ago(3600), until=after(3600))
    return structs.replace(base, **changes)


def freeze(**changes: Any) -> Freeze:
    """Return a freeze from two to four every night; it is three."""
    return structs.replace(Freeze(name="nights", reason="batch jobs", cron="0 2 * * *", length_s=7200), **changes)


def touching(of: Case, *, namespace: int | None, cluster: int | None, others: int = 2, seconds: float = 60) -> Case:
    """Return the case in a cluster of that size, where other workloads of its namespace were touched so long ago."""
    touched = tuple(
        Touched(target_key=f"deployment/backstage/other-{n}", namespace="backstage", admitted_at=ago(seconds))
        for n in range(others)
    )
    population = Population(namespace=namespace, cluster=cluster)
    return structs.replace(history(of, touched=touched), facts=structs.replace(of.facts, population=population))


def action(plan: Plan | None = None, **changes: Any) -> Action:
    """Return an admitted, claimed action on the second rung."""
    the_plan = plan or restart_plan()
    base = Action(
        id="a" * 40,
        number=42,
        incident=7,
        rule="service-unavailable",
        rung=1,
        mode=Mode.ENFORCE,
        target=the_plan.target,
        plan=the_plan,
        state=ActionState.CLAIMED,
        admitted_at=ago(3),
        good_until=after(117),
    )
    return structs.replace(base, **changes)
