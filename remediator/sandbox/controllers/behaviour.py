"""What the annotations of the sandbox ask of a pod: a pure reading of them, with a fault for every bad value.

The table of annotations is in `remediator/sandbox/controllers/__init__.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

PREFIX = "sandbox.remediator.io/"
BEHAVIOUR = PREFIX + "behaviour"

_DURATION = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_FORM = re.compile(r"^(?P<ailment>[a-z-]+?)(?:-until-(?:(?P<restarted>restarted)|scaled:(?P<replicas>[0-9]{1,4})))?$")
_DEFAULT_EXIT_CODE = 1
_OOM_EXIT_CODE = 137
_MAX_EXIT_CODE = 255


class BehaviourError(ValueError):
    """An annotation of the sandbox that cannot be read; the message names it and says what it takes."""


class Ailment(StrEnum):
    """What is wrong with a pod."""

    HEALTHY = "healthy"
    CRASH = "crash"
    OOM = "oom"
    IMAGE_PULL = "image-pull"
    UNREADY = "unready"
    UNSCHEDULABLE = "unschedulable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How a pod behaves, and what cures it; without a cure it stays so until its template changes."""

    ailment: Ailment = Ailment.HEALTHY
    until_restarted: bool = False
    until_replicas: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things take, in seconds of the cluster; `speed` divides all of them, deadlines of rollouts included."""

    speed: float = 1.0
    schedule_after: float = 0.02
    run_after: float = 0.1
    ready_after: float = 0.3
    crash_after: float = 0.2
    exit_pause: float = 0.1
    back_off: float = 1.0
    back_off_limit: float = 10.0
    terminate_after: float = 0.2
    retry_after: float = 1.0
    autoscale_every: float = 5.0
    heal_after: float = 2.0


def read_behaviour(text: str) -> Behaviour:
    """Return what the value of the behaviour annotation says; BehaviourError when it says nothing known."""
    match = _FORM.match(text.strip())
    known = ", ".join(Ailment)
    if match is None or match["ailment"] not in set(Ailment):
        raise BehaviourError(
            f"{BEHAVIOUR}: {text!r} is not known; use one of {known}, with -until-restarted or -until-scaled:N after it"
        )
    return Behaviour(
        ailment=Ailment(match["ailment"]),
        until_restarted=match["restarted"] is not None,
        until_replicas=int(match["replicas"] or 0),
    )


@lru_cache(maxsize=1024)
def read_duration(name: str, text: str) -> float:
    """Return the seconds of a duration such as `0.3s`, `200ms`, `2m`; BehaviourError when it is none."""
    match = _DURATION.match(text.strip())
    if match is None:
        raise BehaviourError(f"{PREFIX}{name}: {text!r} is no duration; write 0.3s, 200ms or 2m")
    return float(match[1]) * _UNITS[match[2]]


def seconds_of(annotations: Mapping[str, str], name: str, default: float) -> float:
    """Return the duration that the annotation of that name asks for, in seconds; BehaviourError."""
    text = annotations.get(PREFIX + name)
    return default if text is None else read_duration(name, text)


def exit_code_of(annotations: Mapping[str, str], ailment: Ailment) -> int:
    """Return the code with which a failing container ends; BehaviourError when the annotation is no exit code."""
    if ailment is Ailment.OOM:
        return _OOM_EXIT_CODE
    text = annotations.get(PREFIX + "exit-code")
    if text is None:
        return _DEFAULT_EXIT_CODE
    if not text.isdecimal() or not 0 < int(text) <= _MAX_EXIT_CODE:
        raise BehaviourError(f"{PREFIX}exit-code: {text!r} is no exit code of a failure; write 1 to {_MAX_EXIT_CODE}")
    return int(text)
