"""How a part says whether it works."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class HealthStatus(Struct, frozen=True, kw_only=True):
    """One answer. ``detail`` is a short sentence with the number behind it; never a secret."""

    ok: bool
    detail: str = ""


class HealthCheck(Protocol):
    """One question that ``/livez`` or ``/readyz`` asks."""

    @property
    def name(self) -> str:
        """Return the name under which the answer is shown: a word, the same at every call."""
        ...

    async def check(self) -> HealthStatus:
        """Look and answer. A PortError or a missed deadline counts as not ok."""
        ...
