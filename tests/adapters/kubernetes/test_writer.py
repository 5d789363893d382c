"""The writer: what a patch carries, and what each answer to it means."""

from __future__ import annotations

import msgspec
import pytest
from aiohttp import web

from remediator.adapters.kubernetes.client import Answer
from remediator.adapters.kubernetes.writer import KubernetesWriter, classify, lookup, patch_body
from remediator.model.errors import InvariantBroken
from remediator.model.plan import PatchObject
from remediator.model.target import Kind, Target
from remediator.ports.cluster import Applied, InDoubt, WriteMark, WriteRefused, WriteResult
from tests.adapters.kubernetes.given import MARK, PATCH, PATH, TARGET, UID, cluster, connected, deployment, refusal
from tests.adapters.kubernetes.test_client import silent

ACTION = "remediator.io/action"
FENCE = "remediator.io/fence"
RESTART = PatchObject(
    target=TARGET,
    patch={"spec": {"template": {"metadata": {"annotations": {"x": "y", ACTION: "forged"}}}}},
    mark_template=True,
)


def stored(replicas: int = 6, **annotations: str) -> dict[str, object]:
    """Return the Deployment as the server would answer after the patch."""
    document = deployment(resourceVersion="101", generation=4)
    document["spec"]["replicas"] = replicas
    marks = {ACTION: MARK.action_id, FENCE: "7"}
    document["metadata"]["annotations"] = {**marks, **annotations}
    return document


async def sent(answer: object, **more: bool) -> tuple[WriteResult, web.Request, object]:
    """Send the scale patch to a server that answers so; return the result, the request and its body."""
    async with cluster({f"PATCH {PATH}": answer}) as (canned, client):  # type: ignore[dict-item]
        result = await KubernetesWriter(client).patch(PATCH, MARK, **more)
    assert len(canned.requests) == 1
    return result, canned.requests[0], canned.bodies[0]


async def test_a_patch_carries_preconditions_and_marks() -> None:
    """One merge patch with resourceVersion, uid, action and fence; strict; under our name and the action's number."""
    result, request, body = await sent(stored())
    assert body == {
        "metadata": {"resourceVersion": "100", "uid": UID, "annotations": {ACTION: "a" * 64, FENCE: "7"}},
        "spec": {"replicas": 6},
    }
    assert dict(request.query) == {"fieldManager": "remediator-a42", "fieldValidation": "Strict"}
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.headers["User-Agent"].endswith(f" action/42 fence/7 id/{'a' * 64}")
    assert result == Applied(resource_version="101", generation=4)


async def test_a_dry_run_says_so() -> None:
    """The same request with dryRun=All."""
    _, request, _ = await sent(stored(), dry_run=True)
    assert request.query["dryRun"] == "All"


def test_marks_win_over_the_step_and_keep_the_rest() -> None:
    """A step cannot forge a mark, and loses none of its own annotations."""
    body = patch_body(RESTART, MARK)
    assert body["spec"] == {"template": {"metadata": {"annotations": {"x": "y", ACTION: MARK.action_id}}}}
    assert RESTART.patch["spec"]["template"]["metadata"]["annotations"][ACTION] == "forged"


@pytest.mark.parametrize(
    "mark",
    [
        WriteMark(action_id="a", number=1, fence=1, uid="", resource_version="1"),
        WriteMark(action_id="a", number=1, fence=1, uid=UID, resource_version=""),
        WriteMark(action_id="", number=1, fence=1, uid=UID, resource_version="1"),
        WriteMark(action_id="a", number=1, fence=1, uid="another", resource_version="1"),
    ],
)
async def test_a_write_that_cannot_be_fenced_is_a_bug(mark: WriteMark) -> None:
    """Without uid, resourceVersion and id nothing is sent, whoever asks."""
    async with cluster({f"PATCH {PATH}": stored()}) as (canned, client):
        with pytest.raises(InvariantBroken):
            await KubernetesWriter(client).patch(PATCH, mark)
    assert not canned.requests


async def test_a_name_that_is_none_goes_nowhere() -> None:
    """A target with ../ in it is refused before there is a path."""
    target = Target(kind=Kind.DEPLOYMENT, namespace="backstage", name="../../secrets", uid=UID)
    async with cluster({}) as (canned, client):
        result = await KubernetesWriter(client).patch(PatchObject(target=target, patch={}), MARK)
    assert isinstance(result, WriteRefused)
    assert result.reason == "invalid"
    assert not canned.requests


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "invalid"),
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "gone"),
        (409, "conflict"),
        (413, "invalid"),
        (415, "invalid"),
        (422, "invalid"),
        (429, "throttled"),
    ],
)
async def test_a_refusal_before_storage_has_its_reason(status: int, reason: str) -> None:
    """These statuses prove that nothing was stored."""
    result, _, _ = await sent(refusal(status, "Because", "of this", retryAfterSeconds=2))
    assert result == WriteRefused(reason=reason, message=f"HTTP {status}: Because: of this", retry_after=2.0)


@pytest.mark.parametrize("status", [302, 307, 402, 408, 410, 418, 499, 500, 502, 503, 504])
async def test_everything_else_leaves_the_outcome_open(status: int) -> None:
    """A 5xx, a redirect, a status that nobody expects: the write may have been stored."""
    result, _, _ = await sent(refusal(status, "Because"))
    assert isinstance(result, InDoubt)
    assert str(status) in result.message


async def test_no_answer_leaves_the_outcome_open() -> None:
    """A hang ends at the timeout, in doubt."""
    async with cluster({f"PATCH {PATH}": silent}, total_s=0.2) as (canned, client):
        result = await KubernetesWriter(client).patch(PATCH, MARK)
    assert result == InDoubt(message=f"PATCH {PATH}: no answer within 0.2 s")
    assert len(canned.requests) == 1


async def test_a_write_that_never_left_is_refused(unused_tcp_port: int) -> None:
    """Connection refused: nothing is in doubt, it may be sent again."""
    async with connected(f"http://127.0.0.1:{unused_tcp_port}") as client:
        result = await KubernetesWriter(client).patch(PATCH, MARK)
    assert isinstance(result, WriteRefused)
    assert result.reason == "unreachable"


async def test_another_object_of_that_name_is_gone() -> None:
    """The wrong uid comes as a 422 about metadata.uid."""
    causes = [{"reason": "FieldValueInvalid", "message": "field is immutable", "field": "metadata.uid"}]
    result, _, _ = await sent(refusal(422, "Invalid", causes=causes))
    assert isinstance(result, WriteRefused)
    assert result.reason == "gone"


async def test_a_refusal_quotes_no_secrets() -> None:
    """A 422 that holds the whole object is left out of the message, which is short."""
    whole = msgspec.json.encode(msgspec.json.encode(deployment()).decode()).decode()
    message = f' "" is invalid: patch: Invalid value: {whole}: strict decoding error: unknown field "spec.replica"'
    result, _, _ = await sent(refusal(422, "Invalid", message))
    assert isinstance(result, WriteRefused)
    assert "hunter2" not in result.message
    assert 'unknown field "spec.replica"' in result.message
    quoted = 'spec.template.spec.containers[0].env[0].value: Invalid value: "correct horse": must be shorter'
    result, _, _ = await sent(refusal(422, "Invalid", quoted))
    assert isinstance(result, WriteRefused)
    assert "horse" not in result.message
    assert result.message.endswith("must be shorter")
    result, _, _ = await sent(refusal(422, "Invalid", "x " * 500))
    assert isinstance(result, WriteRefused)
    assert len(result.message) <= 256


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"metadata": {}}', b"\xff"])
async def test_a_yes_without_the_object_is_no_proof(body: bytes) -> None:
    """A proxy's page says 200, too: what does not show the stored object leaves open whether there is one."""
    result, _, _ = await sent(web.Response(body=body))
    assert result == InDoubt(message="HTTP 200, but what follows is not the object that was stored")


async def test_what_the_server_kept_is_compared_with_what_was_asked() -> None:
    """A value that something changed on the way, or a mark that was dropped, is named."""
    result, _, _ = await sent(stored(replicas=5, **{FENCE: "6"}))
    assert isinstance(result, Applied)
    assert result.differs == ("spec.replicas", f"metadata.annotations.{FENCE}")


async def test_a_dropped_template_mark_is_named() -> None:
    """A restart whose mark is not on the template did not restart anything."""
    async with cluster({f"PATCH {PATH}": stored()}) as (_, client):
        result = await KubernetesWriter(client).patch(RESTART, MARK)
    assert isinstance(result, Applied)
    assert result.differs == (f"spec.template.metadata.annotations.{ACTION}",)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.replicas", 3),
        ("spec.template.spec.containers.0.name", "app"),
        ("metadata.annotations.deployment.kubernetes.io/revision", "4"),
        ("spec.template.spec.containers.9.name", None),
        ("spec.template.spec.containers.x", None),
        ("spec.replicas.x", None),
        ("spec.nothing", None),
    ],
)
def test_a_dotted_path_finds_keys_with_dots_in_them(path: str, value: object) -> None:
    """Annotations have dots in their names; lists are walked by number; what is not there is None."""
    assert lookup(deployment(), path.split(".")) == value


def test_a_yes_that_breaks_off_is_no_proof() -> None:
    """A body that broke off after 200 is read back, and the message says why."""
    answer = Answer(status=200, headers={}, body=b"{", fault="the answer broke off")
    assert classify(answer, []) == InDoubt(message="HTTP 200, but the answer broke off")
