"""Durations and rates as Prometheus' users write them: ``1h30m``, ``3/1h``."""

from __future__ import annotations

import re

from remediator.model.rule import RateLimit

LONGEST_S = 30 * 86_400
"""Seconds. Nothing in a rule waits longer than thirty days."""
MOST = 1000
"""The largest count of a rate: a limit that is never reached is none."""

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile("".join(f"(?:([0-9]{{1,8}}){unit})?" for unit in _UNITS), re.ASCII)
_RATE = re.compile(r"([0-9]{1,8})/(.+)", re.ASCII)


def parse_duration(text: object) -> int:
    """Return the seconds of ``1h30m``; raise ValueError with what is wrong and how to write it."""
    if isinstance(text, int) and not isinstance(text, bool):
        if text == 0:
            return 0
        raise ValueError(f"{text} has no unit; write '{text}s' for seconds or '{text}m' for minutes")
    if text == "0":
        return 0
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not text or found is None:
        raise ValueError(f"{_shown(text)} is not a duration; {_hint(str(text))}")
    seconds = sum(int(number or 0) * size for number, size in zip(found.groups(), _UNITS.values(), strict=True))
    if seconds > LONGEST_S:
        raise ValueError(f"{text} is longer than 30 days; write a shorter time")
    return seconds


def parse_rate(text: object) -> RateLimit:
    """Return the limit of ``3/1h``: at most 3 in any hour; raise ValueError with what is wrong and how to write it."""
    found = _RATE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{_shown(text)} is not a rate; write how many in which time, like '3/1h'")
    count, window = int(found[1]), parse_duration(found[2])
    if not 1 <= count <= MOST:
        raise ValueError(f"the count of a rate is from 1 to {MOST}; to forbid acting, write 'mode: observe'")
    if window < 1:
        raise ValueError(f"the window of {text} is empty; write a time like '1h'")
    return RateLimit(count=count, window_s=window)


def duration_text(seconds: int) -> str:
    """Return seconds as they are written in a rule: ``5400`` is ``1h30m``."""
    parts = []
    for unit, size in _UNITS.items():
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def rate_text(limit: RateLimit) -> str:
    """Return a limit as it is written in a rule: ``3/1h``."""
    return f"{limit.count}/{duration_text(limit.window_s)}"


def _shown(text: object) -> str:
    return repr(text[:40]) if isinstance(text, str) else "this"


def _hint(text: str) -> str:
    if text.endswith("ms"):
        return "the shortest unit is a second"
    if re.search(r"[0-9]y", text):
        return "a year is too long; the largest unit is the week"
    if re.fullmatch(r"([0-9]+[wdhms])+", text):
        return "write each unit once, the larger first, like '1h30m'"
    return "write one like '90s', '10m' or '1h30m'"
