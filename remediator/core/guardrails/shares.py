"""How much of what there is may be touched in one stretch of time: a share, not only a number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from remediator.core.words import span
from remediator.model.case import Case, Touched
from remediator.model.decision import HoldReason, Refusal

LEAST = 2
"""So many workloads may always be touched: a share of a handful would be none. Also where nobody knows how many
there are, for unknown never means unlimited."""

ALL = 100


def crowded(case: Case, reason: HoldReason, where: str, touched: Iterable[Touched], share: Share) -> Refusal | None:
    """Return the refusal if as many other workloads as the share allows were touched within the policy's window."""
    if share.percent >= ALL:
        return None  # however many there are
    since = case.now - timedelta(seconds=case.policy.blast_window_s)
    others = _others(case, touched, since)
    if len(others) < share.allowed:
        return None
    # Room comes when one of them leaves the window: the latest times stay, the oldest of those above the limit go.
    leaving = sorted(others.values())[len(others) - share.allowed]
    retry_at = max(leaving + timedelta(seconds=case.policy.blast_window_s), case.now + timedelta(seconds=1))
    left = (retry_at - case.now).total_seconds()
    return Refusal(
        reason=reason,
        message=(
            f"{len(others)} other workloads of {where} were changed within {span(case.policy.blast_window_s)}, at most "
            f"{share.allowed} are ({share}); the next may start in {span(left)}"
        ),
        numbers={
            "touched": len(others),
            "allowed": share.allowed,
            "workloads": share.workloads,
            "percent": share.percent,
            "left_s": left,
        },
        retry_at=retry_at,
    )


@dataclass(frozen=True, slots=True)
class Share:
    """A percentage of so many workloads (None: nobody knows)."""

    workloads: int | None
    percent: int

    @property
    def allowed(self) -> int:
        """Return how many workloads that is, ``LEAST`` at least."""
        return max(LEAST, (self.workloads or 0) * self.percent // 100)

    def __str__(self) -> str:
        """Return what it is a share of."""
        known = "an unknown number of" if self.workloads is None else f"{self.workloads}"
        return f"{self.percent} % of {known} workloads"


def _others(case: Case, touched: Iterable[Touched], since: datetime) -> dict[str, datetime]:
    """Return the other targets that were touched later than ``since``, each with the last time."""
    found: dict[str, datetime] = {}
    for one in touched:
        if one.admitted_at > since and one.target_key != case.plan.target.key:
            found[one.target_key] = max(one.admitted_at, found.get(one.target_key, one.admitted_at))
    return found
