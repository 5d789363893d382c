"""The cluster: a reader of facts, a reader of evidence, and the one writer."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from remediator.model.action import BeforeImage
from remediator.model.facts import Facts
from remediator.model.owners import Lever
from remediator.model.plan import CaptureEvidence, PatchObject
from remediator.model.rule import TargetSpec
from remediator.model.target import Target


class Resolution(Struct, frozen=True, kw_only=True):
    """The one object that labels lead to, or why there is none (the closed ``problem`` words of ``model.facts``)."""

    target: Target | None = None
    problem: str = ""
    detail: str = ""
    retryable: bool = False


class LiveObject(Struct, frozen=True, kw_only=True):
    """The object as it is now: image for the undo, and our own marks on it ("" and 0 where it has none).

    ``facts`` are of the workload alone: its pods are not listed again, so ``facts.pods`` is empty here. A claim whose
    fence is not above ``fence`` has been overtaken and must not write.
    """

    image: BeforeImage
    marker: str
    fence: int
    facts: Facts


class Applied(Struct, frozen=True, kw_only=True):
    """The write was stored (or, in a dry run, would be). ``differs``: paths where the server kept another value."""

    resource_version: str
    generation: int
    differs: tuple[str, ...] = ()


class WriteRefused(Struct, frozen=True, kw_only=True):
    """The server refused before storing anything.

    ``reason``: ``conflict`` (read again, decide again), ``gone`` (deleted, or another object of that name), ``invalid``
    (an admission policy's no included), ``forbidden``, ``unauthorized``, ``throttled``, ``unreachable`` (no connection:
    the request never left). Only conflict, throttled and unreachable may be tried again. ``message`` is scrubbed and at
    most 256 characters long.
    """

    reason: str
    message: str
    retry_after: float | None = None


class InDoubt(Struct, frozen=True, kw_only=True):
    """No answer, or one that does not prove that the write was stored: read back before anything else."""

    message: str


WriteResult = Applied | WriteRefused | InDoubt


class WriteMark(Struct, frozen=True, kw_only=True):
    """What every write carries: the action's id and number (for the user agent), its fence, and what it is based on.

    The fence is the claim's; ``uid`` and ``resource_version`` are those of the LiveObject that was read last.
    """

    action_id: str
    number: int
    fence: int
    uid: str
    resource_version: str


class EvidenceBundle(Struct, frozen=True, kw_only=True):
    """What was seen, redacted, capped. ``parts``: name (``pods``, ``logs/backstage-1/app/previous``) to JSON or text.

    ``truncated`` names the parts that were cut, ``missing`` those that could not be read, each with the reason.
    """

    parts: dict[str, Any]
    truncated: tuple[str, ...] = ()
    missing: dict[str, str] = {}


class ClusterReader(Protocol):
    """Reads; each has a deadline of its own, and raises ClusterError or says ``cluster_unreachable`` as a value."""

    async def resolve(self, labels: dict[str, str], spec: TargetSpec) -> Resolution:
        """Find the one workload that the labels of an alert mean, inside what the rule allows."""
        ...

    async def resolve_and_read(
        self, labels: dict[str, str], spec: TargetSpec, *, around: bool = False
    ) -> tuple[Resolution, Facts]:
        """Resolve and read the facts in as few requests as it takes: the read that finds the workload fills the facts.

        What is missing is in ``facts.problem``: where the resolution has a problem, the facts carry the same one. The
        pods of a workload that is rolled out with every pod ready are not listed: they would say nothing more.
        ``around``: also find out who else decides about the workload (``facts.around``).
        """
        ...

    async def facts(self, target: Target) -> Facts:
        """Read one workload by itself, in one request: it counts its pods. ``facts.pods`` is empty.

        One that is not there, or is another uid, is a ``problem``, not an error.
        """
        ...

    async def live(self, target: Target, *, within_s: float = 0.0, through: Lever | None = None) -> LiveObject:
        """Read one workload for a write. Raises ClusterError (``not_found``, ``unreachable``...).

        ``within_s``: a read of this object that is younger may be used, once, instead of a new one. What is written
        carries its version, so it can only be refused as a conflict, never be wrong.

        A workload of another uid, or one that is being deleted, is ``not_found``; a mark that is not ours to read
        (a fence that is no number) is ``bad_mark``, which no retry cures.

        ``through``: image, mark and fence are of that object, and ``facts.around.scaler`` has its bounds; the rest of
        the facts is of the workload.
        """
        ...

    async def proof(self, target: Target, action_id: str, *, through: Lever | None = None) -> bool | None:
        """Look for the action's mark on the object and its ReplicaSets: True, False, or None when it cannot be known.

        None: the object is gone or another one of its name, or we may not list what would carry the mark. A server
        that does not answer now is a ClusterError (retryable): ask again.
        """
        ...


class EvidenceReader(Protocol):
    """The runbook's Investigation commands, as reads."""

    async def capture(self, step: CaptureEvidence) -> EvidenceBundle:
        """Read what can be read before the step's deadline; what could not is named in ``missing``."""
        ...


class ClusterWriter(Protocol):
    """The only thing that changes the cluster."""

    async def patch(self, step: PatchObject, mark: WriteMark, *, dry_run: bool = False) -> WriteResult:
        """Send one write, once, and classify what came back. Never retries, never raises for what the server says."""
        ...
