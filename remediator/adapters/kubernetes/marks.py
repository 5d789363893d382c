"""Our own marks on an object, and what of its annotations is ours to look at."""

from __future__ import annotations

from collections.abc import Mapping

from remediator.model.errors import ClusterError

PREFIX = "remediator.io/"
ACTION = "remediator.io/action"
FENCE = "remediator.io/fence"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
REVISION = "deployment.kubernetes.io/revision"

_LONGEST_FENCE = 19


def ours(annotations: Mapping[str, str] | None) -> dict[str, str]:
    """Return the annotations that facts may hold: ours, and the time of the last restart."""
    return {key: value for key, value in (annotations or {}).items() if key.startswith(PREFIX) or key == RESTARTED_AT}


def action_of(annotations: Mapping[str, str] | None) -> str:
    """Return the id of the action that wrote last, "" for none."""
    return (annotations or {}).get(ACTION, "")


def fence_of(annotations: Mapping[str, str] | None) -> int:
    """Return the fence on the object, 0 for none. ClusterError ``bad_mark`` where it is no number."""
    value = (annotations or {}).get(FENCE, "0")
    if not (value.isascii() and value.isdigit() and len(value) <= _LONGEST_FENCE):
        raise ClusterError("bad_mark", f"annotation {FENCE} is {value[:40]!r}, not a number: remove it to let us act")
    return int(value)
