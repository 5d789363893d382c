"""The runbook's table of severity levels, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from remediator.model.rule import Severity

_MINUTE = 60
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Clock:
    """One row: what the level means, and in how many seconds somebody must respond and the next people be called."""

    meaning: str
    respond_s: int
    escalate_s: int


CLOCKS: Mapping[Severity, Clock] = MappingProxyType(
    {
        Severity.P1: Clock("Critical - Service down", 15 * _MINUTE, 0),
        Severity.P2: Clock("High - Major functionality affected", 1 * _HOUR, 2 * _HOUR),
        Severity.P3: Clock("Medium - Minor functionality affected", 4 * _HOUR, 8 * _HOUR),
        Severity.P4: Clock("Low - Cosmetic issues", 24 * _HOUR, 48 * _HOUR),
    }
)


def escalate_after(severity: Severity) -> int:
    """Return after how many seconds without an action people are called for an incident; 0 is at once."""
    return CLOCKS[severity].escalate_s


def respond_within(severity: Severity) -> int:
    """Return in how many seconds somebody must have responded to an incident."""
    return CLOCKS[severity].respond_s


def overdue(severity: Severity, open_for: float, allowed: float) -> str:
    """Say why an incident that nobody has closed goes to people; both times in seconds."""
    if allowed == 0:
        return f"nothing is being done about it, and severity {severity} does not wait"
    return f"open for {open_for / 60:.0f} min; severity {severity} allows {allowed / 60:.0f} min"
