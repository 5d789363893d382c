"""What the reconciliation is made of: whom to ask, where what was found goes, and the numbers that bound it."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.core.reconcile import Terms
from remediator.ports.inbox import Inbox
from remediator.ports.lookout import LookoutStore
from remediator.ports.monitoring import AlertHistory, Alertmanagers

STALE_S = 40.0
"""How many seconds old answers may be when they are made use of; the asking itself takes a quarter of that at most."""
LEASE_S = 60.0
CHUNK = 500
"""How many signals go into the inbox at once."""
SOON_S = 15.0
"""In how many seconds the next look is due where nobody answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookout:
    """Ports and numbers. ``interval_s``: from one look to the next, more or less.

    ``alertmanagers`` and ``history`` are None where there is none to ask.
    """

    store: LookoutStore
    inbox: Inbox
    alertmanagers: Alertmanagers | None
    history: AlertHistory | None
    terms: Terms
    interval_s: float
