"""What people, or another alert, have silenced is left alone; and looked at again, for no silence lasts for ever."""

from __future__ import annotations

from datetime import datetime, timedelta

from remediator.core.words import span
from remediator.model.decision import HoldReason, Refusal
from remediator.model.incident import Candidate
from remediator.model.sighting import Hush

RETRY_S = 600
"""Seconds until it is asked again; whoever finds that the silence is over asks at once."""
JOINED_RETRY_S = 60
"""The same where there is an incident, which another alert may join that nobody has silenced."""


def hushed(hush: Hush, candidate: Candidate, now: datetime) -> Refusal:
    """Return the refusal to do anything about an alert that is silenced or inhibited in Alertmanager."""
    again = RETRY_S if candidate.incident is None else JOINED_RETRY_S
    by = ", ".join(hush.by)
    for_s = (now - hush.since).total_seconds()
    how = "silenced by the silence" if hush.how == HoldReason.SILENCED else "inhibited by the alert"
    return Refusal(
        reason=HoldReason(hush.how),
        message=f"the alert is {how} {by} in Alertmanager, for {span(for_s)} by now; nothing is done about it",
        numbers={"by": list(hush.by), "for_s": for_s},
        retry_at=now + timedelta(seconds=again),
    )
