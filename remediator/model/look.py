"""What a check wants to see: looks as plain data, and what came of each. No look changes anything.

A look that a check asks for is answered by whoever can: the cluster, or a database that is looked after.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Objects(Struct, frozen=True, kw_only=True, tag="objects"):
    """One object of the cluster, or a list of them. ``resource`` is the plural; ``version`` that of the group.

    Without ``name`` it is a list; without ``namespace`` that of the whole cluster. ``labels`` is a selector as the API
    server takes it (``app=web``).
    """

    resource: str
    group: str = ""
    version: str = "v1"
    namespace: str = ""
    name: str = ""
    labels: str = ""

    def __str__(self) -> str:
        """Return ``pods in backstage``."""
        named = f"{self.resource}/{self.name}" if self.name else self.resource
        return f"{named} in {self.namespace}" if self.namespace else f"{named} of the cluster"


class PodLog(Struct, frozen=True, kw_only=True, tag="pod_log"):
    """The end of the log of one container; ``previous``: of the run that ended last."""

    namespace: str
    pod: str
    container: str
    previous: bool = False
    lines: int = 200

    def __str__(self) -> str:
        """Return ``log of backstage-1/app``."""
        return f"{'previous ' if self.previous else ''}log of {self.pod}/{self.container}"


class Query(Struct, frozen=True, kw_only=True, tag="query"):
    """One named statement that reads, in the database of the entry ``database``, with its arguments in order."""

    database: str
    statement: str
    arguments: tuple[str | int | float, ...] = ()

    def __str__(self) -> str:
        """Return ``table_sizes of portal``."""
        return f"{self.statement} of {self.database}"


Look = Objects | PodLog | Query


class Seen(Struct, frozen=True, kw_only=True):
    """What a look found. ``items``: the objects of a list, the one that was named, or the rows of a statement.

    ``text`` is a log, redacted. ``cut``: there was more than is taken.
    """

    items: tuple[dict[str, Any], ...] = ()
    text: str = ""
    cut: bool = False


class Unseen(Struct, frozen=True, kw_only=True):
    """Nothing could be seen, which says nothing about what is there.

    ``reason``: ``not_found``, ``forbidden``, ``unreachable``, ``malformed``, ``refused`` (it is not ours to look at),
    or another word of the one who was asked. ``message`` says what to do about it.
    """

    reason: str
    message: str


Findings = dict[Look, Seen | Unseen]
"""Everything that a check has asked for, with what came of it."""
