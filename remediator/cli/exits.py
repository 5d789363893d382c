"""Exit codes, as docs/reference/cli.md lists them."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command's end means."""

    OK = 0
    FAILED = 1
    """Something outside did not work: the database, the cluster, a demo step."""
    FAULTY = 2
    """The command line, the configuration or the rules are wrong; every fault was printed."""
    NOT_FOUND = 3
    """What was asked for is not in the ledger."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""
