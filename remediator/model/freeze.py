"""Times in which nothing may be changed, known beforehand: nights before a release, the days around a holiday."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class Freeze(Struct, frozen=True, kw_only=True):
    """A freeze that comes again (``cron`` and ``length_s``) or comes once (``begins`` and ``ends``).

    ``cron`` has five fields and is read in ``timezone`` (an IANA name); ``length_s`` is in seconds. ``begins`` and
    ``ends`` are aware; ``ends`` is the first moment after the freeze. ``namespaces`` are those in which nothing is
    changed; empty means all. ``place`` is ``file:line`` of its definition, for people.
    """

    name: str
    reason: str = ""
    cron: str = ""
    timezone: str = "UTC"
    length_s: int = 0
    begins: datetime | None = None
    ends: datetime | None = None
    namespaces: tuple[str, ...] = ()
    place: str = ""
