"""The command line: ``remediator COMMAND``. Each command's module is imported only when it is the one to run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from remediator import __version__
from remediator.cli.exits import Exit

# command: (module, what it is for)
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("serve", "run the daemon"),
    "demo": ("demo", "see it work: a cluster in a box, three incidents, one minute"),
    "doctor": ("doctor", "what is there, what is missing, and what to do about it; changes nothing"),
    "check": ("check", "check rule files and run their cases; needs no cluster"),
    "log": ("log", "read the remediation log"),
    "explain": ("explain", "why it did, or did not, act on an incident"),
    "status": ("status", "what waits, what is open, what was done"),
    "approve": ("approve", "say yes to an action that waits for a person"),
    "reject": ("approve", "say no to an action that waits for a person"),
    "pause": ("pause", "stop all changes, or some: the kill switch"),
    "resume": ("pause", "let changes go on"),
    "undo": ("undo", "return what an action changed to what it was before"),
    "policy": ("policy", "the admission policies that hold remediator to what it needs, for kubectl apply"),
    "ledger": ("ledger", "verify or export the ledger as a whole"),
    "schema": ("schema", "the JSON Schema of rule files, for editors"),
}
EPILOG = """remediator COMMAND --help tells more.

exit codes:
  0 done; 1 something outside failed; 2 faults in flags, configuration or rules;
  3 not in the ledger; 4 the ledger was changed; 130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words:
        _parser().print_help(sys.stderr)
        return Exit.FAULTY
    args = _parser(words[0]).parse_args(words)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def full_parser() -> argparse.ArgumentParser:
    """Return the parser with every command's arguments, for the reference."""
    return _parser(*COMMANDS)


def _parser(*wanted: str) -> argparse.ArgumentParser:
    """Return the parser; only the wanted commands' modules are imported, for a quick start."""
    parser = argparse.ArgumentParser(
        prog="remediator",
        description="Turns an operations team's runbook into code that runs itself.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"remediator {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, purpose) in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".")
        if name in wanted:
            loaded = import_module(f"remediator.cli.{module}")
            loaded.add_arguments(command)
            command.set_defaults(run=loaded.run)
    return parser
