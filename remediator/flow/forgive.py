"""What may be forgiven: trouble outside is waited for, a bug ends the process. The one place that tells them apart."""

from __future__ import annotations

from remediator.model.errors import InvariantBroken, PortError

BUG = "bug"
"""The reason by which an adapter says that not the world but the program is wrong: a statement that cannot work."""


def forgive(error: PortError, who: str) -> None:
    """Return if whoever (``who``) met the error may wait and go on; raise InvariantBroken if it will never work."""
    if error.reason == BUG:
        raise InvariantBroken(f"{who} cannot work: {error}") from error
