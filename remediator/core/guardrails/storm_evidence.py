"""In a storm a few targets are looked at, not all: they show what all have in common, and reading has its price, too.

Each look is a dozen requests to an API server that may be what suffers. The rest wait, the most severe first; what
still fires when the storm is over is looked at then.
"""

from __future__ import annotations

from remediator.core.guardrails import storm
from remediator.core.guardrails.windows import counted, frees_at, looks
from remediator.core.words import span
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal
from remediator.model.plan import CaptureEvidence


def check(case: Case) -> Refusal | None:
    """Refuse to look while a storm is on and enough was looked at. What changes something is the storm's own matter."""
    only_looks = not case.plan.changes and any(isinstance(step, CaptureEvidence) for step in case.plan.steps)
    if not only_looks or storm.check(case) is None:
        return None
    scope = looks(case.plan.action, case.policy)
    window = counted(case, scope)
    if window.count < scope.limit.count:
        return None
    retry_at = frees_at(case.now, scope, window)
    left = (retry_at - case.now).total_seconds()
    return Refusal(
        reason=HoldReason.STORM_EVIDENCE,
        message=(
            f"a storm: {window.count} of at most {scope.limit.count} targets were looked at within "
            f"{span(scope.limit.window_s)}; the next may be in {span(left)}"
        ),
        numbers={
            "count": window.count,
            "limit": scope.limit.count,
            "window_s": scope.limit.window_s,
            "left_s": left,
        },
        retry_at=retry_at,
    )
