"""Whoever owns the number of pods under virtual time: autoscalers, KEDA, Argo CD, quotas and limit ranges."""

from __future__ import annotations

import json
from typing import Any

import pytest

from remediator.sandbox import scenario
from remediator.sandbox.cluster import is_rolled_out
from remediator.sandbox.controllers.applications import TRACKING
from remediator.sandbox.controllers.autoscalers import LOAD
from remediator.sandbox.controllers.objects import condition_of
from remediator.sandbox.resources import (
    APPLICATIONS,
    AUTOSCALERS,
    DEPLOYMENTS,
    EVENTS,
    PODS,
    RESOURCE_QUOTAS,
    SCALED_OBJECTS,
)
from tests.sandbox.controllers.stage import SPACE, Stage
from tests.sandbox.replay import load

Json = dict[str, Any]
PERIOD = 5.1


def staged(*more: Json, replicas: int = 2) -> Stage:
    """Return a stage with a settled Deployment `backstage`, and what else is given."""
    stage = Stage(scenario.namespace("argocd"), scenario.deployment(SPACE, "backstage", replicas=replicas), *more)
    stage.until(lambda: is_rolled_out(stage.deployment()))
    stage.advance(1)
    return stage


def replicas(stage: Stage) -> int:
    """Return how many pods the Deployment asks for."""
    return int(stage.deployment()["spec"]["replicas"])


def condition(stage: Stage, kind: str, name: str = "backstage") -> tuple[str, str]:
    """Return status and reason of one condition of the autoscaler."""
    found = condition_of(stage.status(AUTOSCALERS, name), kind)
    assert found is not None
    return found["status"], found["reason"]


def recorded(name: str, first: int, last: int) -> list[int]:
    """Return the numbers of pods that a transcript shows in some of its entries, each once, in their order."""
    seen: list[int] = []
    for entry in load(name)[first : last + 1]:
        count = int(entry["response"]["body"]["spec"].get("replicas", 0))
        if not seen or seen[-1] != count:
            seen.append(count)
    return seen


@pytest.mark.parametrize(
    ("by_hand", "first", "last"), [(5, 3, 10), (1, 13, 17), (9, 19, 23), (0, 26, 28)], ids=["5", "1", "9", "0"]
)
def test_a_manual_scale_goes_back_as_recorded(by_hand: int, first: int, last: int) -> None:
    """With no load: 5 goes back, 1 is below the minimum, 9 goes to the maximum first, 0 switches it off."""
    stage = staged(scenario.autoscaler(SPACE, "backstage", least=2, most=6))
    stage.advance(PERIOD)
    stage.spec(DEPLOYMENTS, "backstage", replicas=by_hand)
    seen = [replicas(stage)]
    for _ in range(120):
        stage.advance(0.25)
        if seen[-1] != replicas(stage):
            seen.append(replicas(stage))
    wanted = recorded("05-scale-hpa.json", first, last)
    assert [by_hand, *seen[1:]] == ([by_hand, *wanted] if wanted[0] != by_hand else wanted)
    active = condition(stage, "ScalingActive")
    assert active == (("False", "ScalingDisabled") if by_hand == 0 else ("True", "ValidMetricFound"))


def test_load_is_followed_up_to_the_maximum() -> None:
    """Work for five pods of 70 % makes five; work for more than the maximum makes the maximum, and it is told."""
    stage = staged(scenario.autoscaler(SPACE, "backstage", least=2, most=6))
    stage.annotate(DEPLOYMENTS, "backstage", {LOAD: "350"})
    stage.advance(4 * PERIOD)
    assert replicas(stage) == 5
    assert condition(stage, "ScalingLimited") == ("False", "DesiredWithinRange")
    stage.annotate(DEPLOYMENTS, "backstage", {LOAD: "900"})
    stage.advance(4 * PERIOD)
    assert replicas(stage) == 6
    assert condition(stage, "ScalingLimited") == ("True", "TooManyReplicas")
    stage.spec(AUTOSCALERS, "backstage", maxReplicas=8)
    stage.advance(2 * PERIOD)
    assert replicas(stage) == 8


def test_a_higher_minimum_is_reached_within_a_period() -> None:
    """As recorded: the status says SucceededRescale, an event says why."""
    stage = staged(scenario.autoscaler(SPACE, "backstage", least=2, most=6))
    stage.advance(PERIOD)
    stage.spec(AUTOSCALERS, "backstage", minReplicas=3)
    stage.until(lambda: replicas(stage) == 3, within=PERIOD)
    assert condition(stage, "AbleToScale") == ("True", "SucceededRescale")
    told = [event["message"] for event in stage.store.list(EVENTS, SPACE) if event["reason"] == "SuccessfulRescale"]
    assert told == ["New size: 3; reason: Current number of replicas below Spec.MinReplicas"]


def test_pods_are_taken_away_late_unless_told_otherwise() -> None:
    """Without a shorter window of its own an autoscaler waits five minutes after the last wish for more."""
    patient = scenario.autoscaler(SPACE, "backstage", least=2, most=6)
    del patient["spec"]["behavior"]
    stage = staged(patient)
    stage.annotate(DEPLOYMENTS, "backstage", {LOAD: "350"})
    stage.advance(4 * PERIOD)
    stage.annotate(DEPLOYMENTS, "backstage", {LOAD: "0"})
    stage.advance(280)
    assert (replicas(stage), condition(stage, "AbleToScale")) == (5, ("True", "ScaleDownStabilized"))
    stage.advance(40)
    assert replicas(stage) == 2


def test_a_load_that_is_no_number_is_told() -> None:
    """It counts as none, and a Warning says what to write."""
    stage = staged(scenario.autoscaler(SPACE, "backstage", least=2, most=6))
    stage.annotate(DEPLOYMENTS, "backstage", {LOAD: "much"})
    stage.advance(PERIOD)
    told = [event["message"] for event in stage.store.list(EVENTS, SPACE) if event["reason"] == "BadAnnotation"]
    assert told == [f"{LOAD}: 'much' is no load; write a whole number, percent of one pod's request"]


def test_an_autoscaler_without_its_workload_says_so() -> None:
    """AbleToScale is False, and nothing is made."""
    stage = staged(scenario.autoscaler(SPACE, "nothing", most=6))
    stage.advance(PERIOD)
    assert condition(stage, "AbleToScale", "nothing") == ("False", "FailedGetScale")


def test_keda_keeps_its_autoscaler_as_the_scaled_object_says() -> None:
    """What hands write into keda-hpa-... is taken back; what the ScaledObject says arrives; paused there is none."""
    stage = staged(scenario.scaled_object(SPACE, "backstage", most=6))
    stage.advance(1)
    assert stage.get(AUTOSCALERS, "keda-hpa-backstage")["spec"]["minReplicas"] == 1
    stage.spec(AUTOSCALERS, "keda-hpa-backstage", minReplicas=4)
    stage.advance(1)
    assert stage.get(AUTOSCALERS, "keda-hpa-backstage")["spec"]["minReplicas"] == 1
    stage.spec(SCALED_OBJECTS, "backstage", minReplicaCount=3)
    stage.until(lambda: replicas(stage) == 3, within=2 * PERIOD)
    stage.annotate(SCALED_OBJECTS, "backstage", {"autoscaling.keda.sh/paused": "true"})
    stage.advance(1)
    assert stage.store.find(AUTOSCALERS, SPACE, "keda-hpa-backstage") is None


def git(kind: str = "Deployment", **spec: object) -> Json:
    """Return what Git has of the workload `backstage`, or of its autoscaler."""
    versions = {"Deployment": "apps/v1", "HorizontalPodAutoscaler": "autoscaling/v2"}
    return {"apiVersion": versions[kind], "kind": kind, "metadata": {"name": "backstage"}, "spec": spec}


def test_self_heal_takes_a_manual_scale_back() -> None:
    """Within seconds; the Application is out of sync meanwhile, and what it has is marked as its own."""
    stage = staged(scenario.application("portal", SPACE, git(replicas=2)))
    assert stage.deployment()["metadata"]["annotations"][TRACKING] == "portal:apps/Deployment:backstage/backstage"
    stage.spec(DEPLOYMENTS, "backstage", replicas=5)
    stage.advance(0.5)
    assert stage.store.get(APPLICATIONS, "argocd", "portal")["status"]["sync"]["status"] == "OutOfSync"
    stage.advance(2)
    assert replicas(stage) == 2
    stage.advance(0)
    assert stage.store.get(APPLICATIONS, "argocd", "portal")["status"]["sync"]["status"] == "Synced"


@pytest.mark.parametrize("how", ["ignored", "not in git", "no self-heal", "skipped", "disabled"])
def test_what_self_heal_leaves_alone(how: str) -> None:
    """A field that is ignored or not in Git, and an Application that does not heal."""
    ignored = [{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}] if how == "ignored" else []
    manifest = git() if how == "not in git" else git(replicas=2)
    made = scenario.application("portal", SPACE, manifest, self_heal=how != "no self-heal", ignored=ignored)
    if how == "skipped":
        made["metadata"]["annotations"]["argocd.argoproj.io/skip-reconcile"] = "true"
    if how == "disabled":
        made["spec"]["syncPolicy"]["automated"]["enabled"] = False
    stage = staged(made)
    stage.spec(DEPLOYMENTS, "backstage", replicas=5)
    stage.advance(10)
    assert replicas(stage) == 5


def test_self_heal_covers_the_autoscaler_that_git_has() -> None:
    """A minimum that was raised by hand goes back as well."""
    manifest = git("HorizontalPodAutoscaler", minReplicas=2)
    stage = staged(scenario.autoscaler(SPACE, "backstage", least=2, most=6), scenario.application("p", SPACE, manifest))
    stage.spec(AUTOSCALERS, "backstage", minReplicas=4)
    stage.advance(10)
    assert stage.get(AUTOSCALERS, "backstage")["spec"]["minReplicas"] == 2


def test_a_quota_of_cpu_holds_pods_back_with_the_message_of_the_server() -> None:
    """Pods that would go beyond are not made; the ReplicaSet tells the sums."""
    pods = scenario.template("backstage")
    pods["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "500m"}}
    made = scenario.deployment(SPACE, "backstage", replicas=2, pods=pods)
    stage = Stage(made, scenario.quota(SPACE, "compute", requests_cpu="1200m", pods="10"))
    stage.until(lambda: is_rolled_out(stage.deployment()))
    stage.spec(DEPLOYMENTS, "backstage", replicas=4)
    stage.advance(5)
    assert len(stage.pods()) == 2
    assert stage.status(RESOURCE_QUOTAS, "compute")["used"] == {"requests.cpu": "1", "pods": "2"}
    told = [event["message"] for event in stage.store.list(EVENTS, SPACE) if event["reason"] == "FailedCreate"]
    wanted = "exceeded quota: compute, requested: requests.cpu=500m, used: requests.cpu=1, limited: requests.cpu=1200m"
    assert told
    assert all(wanted in message for message in told)


def test_a_limit_range_fills_in_and_refuses() -> None:
    """Pods get its defaults; a container above its maximum is not made."""
    limits = scenario.limit_range(
        SPACE, "limits", max={"memory": "2Gi"}, default={"memory": "1Gi"}, defaultRequest={"memory": "256Mi"}
    )
    pods = scenario.template("backstage")
    pods["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    stage = Stage(limits, scenario.deployment(SPACE, "backstage", replicas=2, pods=pods))
    stage.until(lambda: is_rolled_out(stage.deployment()))
    resources = [pod["spec"]["containers"][0]["resources"] for pod in stage.store.list(PODS, SPACE)]
    assert resources == [{"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "256Mi"}}] * 2
    pods = scenario.template("big")
    pods["spec"]["containers"][0]["resources"] = {"limits": {"memory": "4Gi"}}
    stage.put(scenario.deployment(SPACE, "big", pods=pods))
    stage.advance(3)
    told = [event["message"] for event in stage.store.list(EVENTS, SPACE) if event["reason"] == "FailedCreate"]
    assert any(message.endswith("maximum memory usage per Container is 2Gi, but limit is 4Gi") for message in told)


def test_a_manifest_that_cannot_be_read_is_told() -> None:
    """An Application whose Git is no JSON heals nothing, and says why."""
    made = scenario.application("portal", SPACE)
    made["metadata"]["annotations"]["sandbox.remediator.io/manifests"] = json.dumps([{"kind": "Deployment"}])[:-1]
    stage = staged(made)
    told = [event["reason"] for event in stage.store.list(EVENTS, "argocd")]
    assert told == ["BadAnnotation"]
