"""Whether the cluster itself refuses writes of an owner that was overtaken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from remediator.model.rule import TargetSpec
from remediator.model.target import Target


class FenceState(StrEnum):
    """What trying it out has shown.

    ``enforced``: a stale fence is refused. ``missing``: it is not. ``blocked``: not even a good write is let through.
    ``unknown``: it could not be tried, or no clear answer came.
    """

    ENFORCED = "enforced"
    MISSING = "missing"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


class FenceReport(Struct, frozen=True, kw_only=True):
    """The state, and one sentence on what it was learned from."""

    state: FenceState
    detail: str


class FenceCheck(Protocol):
    """Tries it out; writes nothing."""

    async def probe_fences(self, specs: Sequence[TargetSpec], allowed: Callable[[Target], bool]) -> FenceReport:
        """Try two dry-run writes on a workload that one of ``specs`` means and that is ``allowed``.

        Never raises for what the cluster says.
        """
        ...
