"""Exit codes, as docs/reference/cli.md lists them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class Exit(IntEnum):
    """What a command's end means."""

    OK = 0
    FAILED = 1
    FAULTY = 2
    NOT_FOUND = 3
    TAMPERED = 4
    INTERRUPTED = 130


MEANINGS: Mapping[Exit, str] = MappingProxyType(
    {
        Exit.OK: "Done. `doctor`: nothing stops it, though there may be gaps. `serve`: ended by SIGTERM or SIGINT; "
        "what was in hand is finished, or left for the next start.",
        Exit.FAILED: "Something outside did not work: the database, the cluster, a step of the demo. `doctor`: "
        "something stops it. `serve`: it could not start, or had to end, for such a reason; start it anew.",
        Exit.FAULTY: "The command line, the configuration or the rules are wrong; every fault was printed.",
        Exit.NOT_FOUND: "What was asked for is not in the ledger, or does not wait for an answer.",
        Exit.TAMPERED: "`ledger verify`: the ledger is not as it was written; every fault was printed.",
        Exit.INTERRUPTED: "Ended by Ctrl-C.",
    }
)
