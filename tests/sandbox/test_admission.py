"""Admission policies in the sandbox: which writes they concern, what they see, and how they say no."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from remediator.sandbox import scenario
from remediator.sandbox.cluster import SandboxCluster
from remediator.sandbox.resources import DEPLOYMENTS, PODS

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
WEB = "/apis/apps/v1/namespaces/shop/deployments/web"
WRITES = ["CREATE", "UPDATE", "DELETE"]
NOT_SHOP = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["shop"]}
CONDITION = "spec.matchConditions[0]"
FIRST_RULE = "spec.matchConstraints.resourceRules[0]"

Json = dict[str, Any]


def rule(*resources: str, group: str = "apps", operations: list[str] | None = None, **more: Any) -> Json:
    """Return one of resourceRules."""
    listed = list(resources) or ["deployments"]
    rules = {"apiGroups": [group], "apiVersions": ["*"], "operations": operations or WRITES, "resources": listed}
    return {**rules, **more}


def spec(*validations: Json | str, constraints: Json | None = None, **more: Any) -> Json:
    """Return the spec of a policy about Deployments; a validation may be its expression alone."""
    listed = [{"expression": item} if isinstance(item, str) else item for item in validations]
    return {"matchConstraints": constraints or {"resourceRules": [rule()]}, "validations": listed, **more}


class Cluster:
    """A cluster with one Deployment, and a client of its API."""

    def __init__(self, sandbox: SandboxCluster, http: aiohttp.ClientSession) -> None:
        """Keep both."""
        self.sandbox = sandbox
        self._http = http

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str = "", dry_run: bool = False
    ) -> tuple[int, Json, list[str]]:
        """Send a request as the administrator (or as another); return status, body and warnings."""
        content = {"PATCH": "application/merge-patch+json"}.get(method, "application/json")
        headers = {"Authorization": f"Bearer {token or self.sandbox.token}", "Content-Type": content}
        query = {"dryRun": "All"} if dry_run else {}
        url = self.sandbox.url + path
        async with self._http.request(method, url, json=body, headers=headers, params=query) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers.getall("Warning", [])

    async def policy(self, wanted: Json, *, actions: list[str] | None = None, resources: Json | None = None) -> None:
        """Make a policy and its binding, both called ``guard``."""
        bound: Json = {"policyName": "guard", "validationActions": actions or ["Deny"]}
        if resources is not None:
            bound["matchResources"] = resources
        for path, kind, content in (
            (POLICIES, "ValidatingAdmissionPolicy", wanted),
            (BINDINGS, "ValidatingAdmissionPolicyBinding", bound),
        ):
            body = {"kind": kind, "metadata": {"name": "guard"}, "spec": content}
            status, answer, _ = await self.ask("POST", path, body)
            assert status == 201, answer

    async def scale(self, replicas: int, **how: Any) -> tuple[int, Json, list[str]]:
        """Patch the Deployment's replicas."""
        return await self.ask("PATCH", WEB, {"spec": {"replicas": replicas}}, **how)

    @property
    def web(self) -> Json:
        """Return the Deployment as it is stored."""
        return self.sandbox.store.get(DEPLOYMENTS, "shop", "web")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """One Deployment with two pods; no controllers run."""
    sandbox = SandboxCluster(seed=[scenario.namespace("shop"), scenario.deployment("shop", "web", replicas=2)])
    await sandbox.server.start()
    async with aiohttp.ClientSession() as http:
        yield Cluster(sandbox, http)
    await sandbox.server.stop()


def refused(answer: tuple[int, Json, list[str]], code: int, said: str) -> bool:
    """Tell whether an answer is the Status of a policy's no with that code and text."""
    status, body, _ = answer
    text = f"ValidatingAdmissionPolicy 'guard' with binding 'guard' denied request: {said}"
    reason = {422: "Invalid", 403: "Forbidden", 401: "Unauthorized", 413: "RequestEntityTooLarge"}[code]
    return (status, body) == (
        code,
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f'deployments.apps "web" is forbidden: {text}',
            "reason": reason,
            "details": {"name": "web", "group": "apps", "kind": "deployments", "causes": [{"message": text}]},
            "code": code,
        },
    )


async def test_a_no_is_worded_as_the_server_words_it(cluster: Cluster) -> None:
    """422 unless the policy gives a reason; its computed message, its own, or its expression."""
    wordings = (
        ({"expression": "object.spec.replicas <= 5"}, 422, "failed expression: object.spec.replicas <= 5"),
        ({"expression": "object.spec.replicas <= 5", "message": " five "}, 422, "five"),
        ({"expression": "object.spec.replicas <= 5", "message": "five", "reason": "Forbidden"}, 403, "five"),
        (
            {"expression": "false", "message": "m", "messageExpression": "'not ' + string(object.spec.replicas)"},
            422,
            "not 6",
        ),
        ({"expression": "false", "message": "m", "messageExpression": "string(object.spec.none)"}, 422, "m"),
        ({"expression": "false", "message": "m", "messageExpression": "'a\\nb'"}, 422, "m"),
    )
    for validation, code, said in wordings:
        await cluster.policy(spec(validation))
        assert refused(await cluster.scale(6), code, said), said
        for path in (POLICIES, BINDINGS):
            assert (await cluster.ask("DELETE", f"{path}/guard"))[0] == 200
    assert (await cluster.scale(6))[0] == 200


async def test_the_first_no_is_told(cluster: Cluster) -> None:
    """Several failed validations make one answer, that of the first."""
    await cluster.policy(
        spec("true", {"expression": "false", "message": "one"}, {"expression": "false", "message": "two"})
    )
    assert refused(await cluster.scale(3), 422, "one")


async def test_nothing_is_stored_of_what_is_refused(cluster: Cluster) -> None:
    """Neither by a write nor by a dry run; and a dry run is judged as a write is."""
    await cluster.policy(spec({"expression": "object.spec.replicas <= 5", "message": "five"}))
    before = cluster.web
    assert refused(await cluster.scale(6, dry_run=True), 422, "five")
    assert refused(await cluster.scale(6), 422, "five")
    assert cluster.web is before
    assert (await cluster.scale(4, dry_run=True))[0] == 200
    assert cluster.web is before
    assert (await cluster.scale(4))[0] == 200


async def test_versions_and_rules_of_the_kind_come_first(cluster: Cluster) -> None:
    """A stale resourceVersion is a conflict, a bad value is invalid, whatever a policy would say."""
    await cluster.policy(spec({"expression": "false", "message": "never"}))
    stale = {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 3}}
    assert (await cluster.ask("PATCH", WEB, stale))[0] == 409
    status, body, _ = await cluster.scale(-1)
    assert (status, body["details"]["causes"][0]["field"]) == (422, "spec.replicas")
    assert refused(await cluster.scale(2), 422, "never"), "what would change nothing is judged too"


async def test_a_policy_without_binding_does_nothing(cluster: Cluster) -> None:
    """And neither does a binding whose policy is gone."""
    await cluster.policy(spec("false"))
    assert (await cluster.ask("DELETE", f"{BINDINGS}/guard"))[0] == 200
    assert (await cluster.scale(3))[0] == 200
    await cluster.ask("DELETE", f"{POLICIES}/guard")
    await cluster.policy(spec("false"))
    assert (await cluster.ask("DELETE", f"{POLICIES}/guard"))[0] == 200
    assert (await cluster.scale(4))[0] == 200


async def test_a_changed_policy_holds_at_once(cluster: Cluster) -> None:
    """An update replaces what was compiled."""
    await cluster.policy(spec("object.spec.replicas <= 5"))
    changed = {"spec": {"validations": [{"expression": "object.spec.replicas <= 9"}]}}
    assert (await cluster.scale(7))[0] == 422
    assert (await cluster.ask("PATCH", f"{POLICIES}/guard", changed))[0] == 200
    assert (await cluster.scale(7))[0] == 200


async def test_warnings_let_the_write_through(cluster: Cluster) -> None:
    """Warn puts a header on the answer, refused or not; Audit says nothing to the client."""
    await cluster.policy(spec({"expression": "false", "message": "hm"}), actions=["Warn", "Audit"])
    status, _, warnings = await cluster.scale(3)
    text = "Validation failed for ValidatingAdmissionPolicy 'guard' with binding 'guard': hm"
    assert (status, warnings) == (200, [f'299 - "{text}"'])
    await cluster.ask("PATCH", f"{BINDINGS}/guard", {"spec": {"validationActions": ["Audit"]}})
    status, _, warnings = await cluster.scale(4)
    assert (status, warnings) == (200, [])


@pytest.mark.parametrize(
    ("resources", "concerned"),
    [
        (rule(), True),
        (rule("*"), True),
        (rule("*/*"), True),
        (rule("deployments/*"), True),
        (rule(group="*"), True),
        (rule(resourceNames=["web"]), True),
        (rule(scope="Namespaced"), True),
        (rule(apiVersions=["v1"]), True),
        (rule(resourceNames=["other"]), False),
        (rule(scope="Cluster"), False),
        (rule("deployments/scale"), False),
        (rule("*/scale"), False),
        (rule("statefulsets"), False),
        (rule(group="extensions"), False),
        (rule(apiVersions=["v2"]), False),
        (rule(operations=["CREATE", "DELETE"]), False),
    ],
)
async def test_rules_tell_which_requests_are_concerned(cluster: Cluster, resources: Json, concerned: bool) -> None:
    """Group, version, resource, subresource, operation, name and scope, with wildcards; and the same to exclude."""
    await cluster.policy(spec("false", constraints={"resourceRules": [resources]}))
    assert (await cluster.scale(3))[0] == (422 if concerned else 200)
    excluded = {"resourceRules": [rule("*/*")], "excludeResourceRules": [resources]}
    await cluster.ask("PATCH", f"{POLICIES}/guard", {"spec": {"matchConstraints": excluded}})
    assert (await cluster.scale(4))[0] == (200 if concerned else 422)


@pytest.mark.parametrize(
    ("resources", "concerned"),
    [
        ({"objectSelector": {"matchLabels": {"app": "web"}}}, True),
        ({"objectSelector": {"matchLabels": {"app": "other"}}}, False),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}, True),
        ({"namespaceSelector": {"matchExpressions": [NOT_SHOP]}}, False),
        ({"resourceRules": [rule("statefulsets")]}, False),
        ({}, True),
    ],
)  # fmt: skip
async def test_a_binding_narrows_its_policy(cluster: Cluster, resources: Json, concerned: bool) -> None:
    """By labels of the object (new or old), of the namespace, or by rules of its own."""
    await cluster.policy(spec("false"), resources=resources)
    assert (await cluster.scale(3))[0] == (422 if concerned else 200)


async def test_conditions_are_about_who_asks_and_for_what(cluster: Cluster) -> None:
    """Another user's writes pass; groups, the dry run, the operation and the place are there to be asked about."""
    token = cluster.sandbox.server.add_user("robot", "system:masters", "robots")
    who = [{"name": "robot", "expression": "request.userInfo.username == 'robot'"}]
    expressions = (
        "!('robots' in request.userInfo.groups)",
        "request.operation != 'UPDATE'",
        "request.namespace != 'shop' || request.name != 'web'",
        "request.resource.resource != 'deployments' || request.kind.kind != 'Deployment'",
        "namespaceObject.metadata.name != 'shop'",
        "has(request.subResource)",
    )
    for expression in expressions:
        await cluster.policy(spec(expression, matchConditions=who))
        assert (await cluster.scale(3))[0] == 200
        assert refused(await cluster.scale(3, token=token), 422, f"failed expression: {expression}")
        for path in (POLICIES, BINDINGS):
            await cluster.ask("DELETE", f"{path}/guard")
    await cluster.policy(spec("!request.dryRun", matchConditions=who))
    assert (await cluster.scale(3, token=token, dry_run=True))[0] == 422
    assert (await cluster.scale(3, token=token))[0] == 200


async def test_what_cannot_be_evaluated_is_a_no_unless_it_is_to_be_ignored(cluster: Cluster) -> None:
    """A validation, a variable that it uses, a condition: each fails closed, and with Ignore is passed over."""
    absent = "object.spec.nothing == 1"
    broken = [{"name": "lost", "expression": "object.spec.nothing"}]
    condition = [{"name": "odd", "expression": absent}]
    for wanted, said in (
        (spec(absent), f"expression '{absent}' resulted in error: "),
        (spec("variables.lost == 1", variables=broken), 'composited variable "lost" fails to evaluate'),
        (spec("true", matchConditions=condition), "Key not found"),
    ):
        await cluster.policy(wanted)
        status, body, _ = await cluster.scale(3)
        assert (status, body["reason"]) == (422, "Invalid")
        assert said in body["message"]
        await cluster.ask("PATCH", f"{POLICIES}/guard", {"spec": {"failurePolicy": "Ignore"}})
        assert (await cluster.scale(3))[0] == 200
        for path in (POLICIES, BINDINGS):
            await cluster.ask("DELETE", f"{path}/guard")


async def test_a_variable_that_nobody_uses_may_fail(cluster: Cluster) -> None:
    """Variables are computed when they are needed; one may use those before it."""
    variables = [
        {"name": "lost", "expression": "object.spec.nothing"},
        {"name": "two", "expression": "2"},
        {"name": "four", "expression": "variables.two * 2"},
    ]
    await cluster.policy(spec("object.spec.replicas <= variables.four", variables=variables))
    assert (await cluster.scale(4))[0] == 200
    assert (await cluster.scale(5))[0] == 422


async def test_a_false_condition_outweighs_a_broken_one(cluster: Cluster) -> None:
    """The policy is skipped, whatever else cannot be evaluated."""
    conditions = [
        {"name": "odd", "expression": "object.spec.nothing == 1"},
        {"name": "no", "expression": "request.operation == 'CREATE'"},
    ]
    await cluster.policy(spec("false", matchConditions=conditions))
    assert (await cluster.scale(3))[0] == 200


async def test_every_way_to_write_passes_the_gate(cluster: Cluster) -> None:
    """POST, PUT, each patch, apply, scale, status, eviction, DELETE of one and of many."""
    store = cluster.sandbox.store
    labels = {"app": "web"}
    pod = {
        "metadata": {"name": "web-1", "namespace": "shop", "labels": labels},
        "spec": {"containers": []},
        "status": {},
    }
    store.seed(PODS, [pod])
    await cluster.policy(
        spec({"expression": "false", "message": "no"}, constraints={"resourceRules": [rule("*/*", group="*")]})
    )
    pods = "/api/v1/namespaces/shop/pods"
    made = {"metadata": {"name": "new"}, "data": {"a": "b"}}
    moved = {**cluster.web, "spec": {**cluster.web["spec"], "replicas": 3}}
    requests = [
        ("POST", "/api/v1/namespaces/shop/configmaps", made),
        ("PUT", WEB, moved),
        ("PATCH", WEB, {"spec": {"replicas": 3}}),
        ("PATCH", f"{WEB}/scale", {"spec": {"replicas": 3}}),
        ("PUT", f"{WEB}/status", {**cluster.web, "status": {"replicas": 7}}),
        ("POST", f"{pods}/web-1/eviction", {"metadata": {"name": "web-1"}}),
        ("DELETE", WEB, None),
        ("DELETE", "/apis/apps/v1/namespaces/shop/deployments", None),
    ]
    version = store.version
    for method, path, body in requests:
        status, answer, _ = await cluster.ask(method, path, body)
        assert status == 422, (method, path, answer)
        assert "denied request: no" in answer["message"]
    assert store.version == version


async def test_server_side_apply_passes_the_gate(cluster: Cluster) -> None:
    """An apply is an update of what is there, and else a creation."""
    await cluster.policy(spec("request.operation == 'CREATE' || object.spec.replicas <= 5"))
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 6}}
    headers = {
        "Authorization": f"Bearer {cluster.sandbox.token}",
        "Content-Type": "application/apply-patch+yaml",
    }
    query = {"fieldManager": "tests", "force": "true"}
    async with (
        aiohttp.ClientSession() as http,
        http.patch(cluster.sandbox.url + WEB, json=body, headers=headers, params=query) as answer,
    ):
        assert answer.status == 422, await answer.text()


async def test_a_scale_is_judged_as_a_scale(cluster: Cluster) -> None:
    """A rule on the subresource sees the Scale and its kind, and the name of the subresource."""
    judged = "request.subResource == 'scale' && request.kind.kind == 'Scale' && object.spec.replicas <= 5"
    await cluster.policy(spec(judged, constraints={"resourceRules": [rule("deployments/scale")]}))
    assert (await cluster.ask("PATCH", f"{WEB}/scale", {"spec": {"replicas": 6}}))[0] == 422
    assert (await cluster.ask("PATCH", f"{WEB}/scale", {"spec": {"replicas": 5}}))[0] == 200
    assert (await cluster.scale(6))[0] == 200


async def test_another_face_of_a_resource_is_covered_too(cluster: Cluster) -> None:
    """A rule on one version holds for the others by default, and not with Exact."""
    scaler = {
        "metadata": {"name": "web"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
    }
    path = "/apis/autoscaling/v1/namespaces/shop/horizontalpodautoscalers"
    rules = [rule("horizontalpodautoscalers", group="autoscaling", apiVersions=["v2"])]
    await cluster.policy(spec("false", constraints={"resourceRules": rules}))
    assert (await cluster.ask("POST", path, scaler))[0] == 422
    exact = {"spec": {"matchConstraints": {"matchPolicy": "Exact"}}}
    assert (await cluster.ask("PATCH", f"{POLICIES}/guard", exact))[0] == 200
    assert (await cluster.ask("POST", path, scaler))[0] == 201


async def test_policies_do_not_lock_themselves_in(cluster: Cluster) -> None:
    """What denies everything can be taken back."""
    await cluster.policy(spec("false", constraints={"resourceRules": [rule("*/*", group="*")]}))
    assert (await cluster.ask("DELETE", f"{BINDINGS}/guard"))[0] == 200


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (spec("object.spec.replicas <="), "spec.validations[0].expression"),
        (spec("object.spec.paused"), "spec.validations[0].expression"),
        (spec("authorizer.group('').check() == true"), "spec.validations[0].expression"),
        (spec("params.x == 1"), "spec.validations[0].expression"),
        (spec({"expression": "true", "messageExpression": "1 + 1"}), "spec.validations[0].messageExpression"),
        (spec("true", matchConditions=[{"name": "a", "expression": "variables.x"}]), f"{CONDITION}.expression"),
        (spec("true", variables=[{"name": "a", "expression": "+"}]), "spec.variables[0].expression"),
        (spec("true", variables=[{"name": "a", "expression": "1"}] * 2), "spec.variables[1].name"),
        (spec("true", matchConditions=[{"expression": "true"}]), f"{CONDITION}.name"),
        (spec("true", failurePolicy="Perhaps"), "spec.failurePolicy"),
        (spec("true", paramKind={"apiVersion": "v1", "kind": "ConfigMap"}), "spec.paramKind"),
        (spec({"expression": "true", "reason": "Because"}), "spec.validations[0].reason"),
        (spec({"expression": "true", "message": "a\nb"}), "spec.validations[0].message"),
        (spec({"expression": "true", "message": " "}), "spec.validations[0].message"),
        (spec(), "spec.validations"),
        ({"validations": [{"expression": "true"}]}, "spec.matchConstraints"),
        (spec("true", constraints={"matchPolicy": "Exact"}), "spec.matchConstraints.resourceRules"),
        (spec("true", constraints={"resourceRules": [rule(operations=["READ"])]}), f"{FIRST_RULE}.operations[0]"),
        (spec("true", constraints={"resourceRules": [{"apiGroups": ["*"]}]}), f"{FIRST_RULE}.apiVersions"),
    ],
)  # fmt: skip
async def test_a_faulty_policy_is_refused(cluster: Cluster, wanted: Json, field: str) -> None:
    """Faults are found when it is made, the expressions' by compiling them; what is not evaluated is never ignored."""
    body = {"metadata": {"name": "guard"}, "spec": wanted}
    status, answer, _ = await cluster.ask("POST", POLICIES, body)
    assert status == 422
    assert field in [cause.get("field") for cause in answer["details"]["causes"]]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"validationActions": ["Deny"]}, "spec.policyName"),
        ({"policyName": "guard"}, "spec.validationActions"),
        ({"policyName": "guard", "validationActions": ["Shout"]}, "spec.validationActions[0]"),
        ({"policyName": "guard", "validationActions": ["Deny", "Warn"]}, "spec.validationActions"),
        ({"policyName": "guard", "validationActions": ["Deny"], "paramRef": {"name": "x"}}, "spec.paramRef"),
    ],
)
async def test_a_faulty_binding_is_refused(cluster: Cluster, wanted: Json, field: str) -> None:
    """Likewise."""
    status, answer, _ = await cluster.ask("POST", BINDINGS, {"metadata": {"name": "guard"}, "spec": wanted})
    assert status == 422
    assert field in [cause.get("field") for cause in answer["details"]["causes"]]
