"""Act, hold or ask: always with reasons, always recorded."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from remediator.model.plan import Plan


class HoldReason(StrEnum):
    """Why nothing is done. A closed set: it is a metric label, and docs/guardrails.md explains each."""

    NO_RULE = "no_rule"
    NOT_FIRING = "not_firing"
    LATE = "late"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    TARGET_MISSING = "target_missing"
    TARGET_AMBIGUOUS = "target_ambiguous"
    TARGET_NOT_FOUND = "target_not_found"
    TARGET_NOT_ALLOWED = "target_not_allowed"
    CLUSTER_UNREACHABLE = "cluster_unreachable"
    IN_PROGRESS = "in_progress"
    LADDER_SPENT = "ladder_spent"
    CANNOT_PLAN = "cannot_plan"
    AWAITING_APPROVAL = "awaiting_approval"
    REJECTED = "rejected"
    PAUSED = "paused"
    FROZEN = "frozen"
    BRAKE = "brake"
    STORM = "storm"
    STORM_EVIDENCE = "storm_evidence"
    SELF_PROTECTION = "self_protection"
    PROTECTED = "protected"
    OPTED_OUT = "opted_out"
    NOT_OPTED_IN = "not_opted_in"
    TARGET_BUSY = "target_busy"
    NAMESPACE_BUSY = "namespace_busy"
    CLUSTER_BUSY = "cluster_busy"
    STATEFUL_STOP = "stateful_stop"
    QUARANTINE = "quarantine"
    MASKING = "masking"
    COOLDOWN = "cooldown"
    LIMIT_TARGET = "limit_target"
    LIMIT_RULE = "limit_rule"
    LIMIT_NAMESPACE = "limit_namespace"
    LIMIT_CLUSTER = "limit_cluster"
    BLAST_NAMESPACE = "blast_namespace"
    BLAST_CLUSTER = "blast_cluster"
    SPACING = "spacing"
    MIN_HEALTHY = "min_healthy"
    ROLLOUT_IN_PROGRESS = "rollout_in_progress"
    RECENTLY_DEPLOYED = "recently_deployed"
    STALE_FACTS = "stale_facts"
    CHANGED_SINCE = "changed_since"
    NOT_CALM = "not_calm"
    RULE_GONE = "rule_gone"


class Refusal(Struct, frozen=True, kw_only=True):
    """One reason with the numbers behind it, fit to be read at 3 a.m.

    ``retry_at`` is when asking again makes sense; None means that time alone will not change the answer, and then a
    person is told.
    """

    reason: HoldReason
    message: str
    numbers: dict[str, Any] = field(default_factory=dict)
    retry_at: datetime | None = None


class Act(Struct, frozen=True, kw_only=True, tag="act"):
    """Do it now."""

    plan: Plan


class Observe(Struct, frozen=True, kw_only=True, tag="observe"):
    """Would have acted, but the mode allows only a server-side dry run."""

    plan: Plan
    because: str


class Ask(Struct, frozen=True, kw_only=True, tag="ask"):
    """Wait for a person's yes."""

    plan: Plan
    because: str


class Hold(Struct, frozen=True, kw_only=True, tag="hold"):
    """Do nothing, for these reasons. ``retry_at`` is the latest of theirs, None if any of them has none."""

    refusals: tuple[Refusal, ...]
    retry_at: datetime | None = None


Decision = Act | Observe | Ask | Hold
