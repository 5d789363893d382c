"""The exceptions of the project. A refused action is a value (``decision.Hold``), never one of these."""

from __future__ import annotations


class RemediatorError(Exception):
    """Anything that remediator raises on purpose."""


class ConfigError(RemediatorError):
    """The configuration cannot be used; carries every fault that was found, not only the first."""

    def __init__(self, *problems: str) -> None:
        """Keep ``problems``: one sentence each, naming the place and what to do."""
        super().__init__("; ".join(problems))
        self.problems: tuple[str, ...] = problems


class SignalRejected(RemediatorError):
    """A webhook body is garbage as a whole; ``path`` is the JSON path of the fault (``$.alerts``)."""

    def __init__(self, path: str, message: str) -> None:
        """Keep the place and the fault."""
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


class PortError(RemediatorError):
    """Something outside could not be used.

    ``reason`` comes from a small closed set of each adapter (it becomes a metric label), ``retryable`` tells whether
    the same call may succeed later, ``retry_after`` is the other side's own wish in seconds, where it said one.
    """

    def __init__(self, reason: str, message: str, *, retryable: bool = False, retry_after: float | None = None) -> None:
        """Keep reason, message and what is known about trying again."""
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after


class LedgerError(PortError):
    """Our own PostgreSQL did not do what was asked."""


class ClusterError(PortError):
    """The Kubernetes API did not answer a read; writes are classified into values instead."""


class MonitoringError(PortError):
    """Prometheus did not answer, or not in full."""


class NotifyError(PortError):
    """A notification could not be delivered."""


class InvariantBroken(RemediatorError):
    """A bug: something that must never be so, is. Never caught on the way; the supervisor ends the process."""
