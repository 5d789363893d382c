"""How a program that was ended by errors says so: what they were, one a line, and which exit code they make."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

from remediator.cli.exits import Exit
from remediator.model.errors import ConfigError, PortError

_log = logging.getLogger("remediator")


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, or the errors of a group and of the groups in it."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for inner in error.exceptions:
        yield from leaves(inner)


def ended_by(error: BaseException) -> Exit:
    """Tell why a daemon ended and return its exit code.

    Faults of the configuration are listed on the standard error; anything else goes to the log: what something outside
    did in a sentence, everything else, which is a bug, with its trace.
    """
    found = list(leaves(error))
    faults = [problem for one in found if isinstance(one, ConfigError) for problem in one.problems]
    if faults:
        print("\n  ".join(["remediator: cannot start:", *faults]), file=sys.stderr)
    others = [one for one in found if not isinstance(one, ConfigError)]
    for one in others:
        _log.critical("the daemon ends: %s", one, exc_info=None if isinstance(one, PortError) else one)
    return Exit.FAILED if others else Exit.FAULTY
