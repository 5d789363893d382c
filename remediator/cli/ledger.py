"""``remediator ledger ...``: the ledger as a whole, for who has to answer for it."""

from __future__ import annotations

import argparse
from types import ModuleType

from remediator.cli import ledger_export, ledger_migrate, ledger_verify

# subcommand: (its module, what it is for)
SUBCOMMANDS: dict[str, tuple[ModuleType, str]] = {
    "verify": (ledger_verify, "verify that nothing recorded was changed, removed or added since it was sealed"),
    "export": (ledger_export, "write entries to a file or a pipe, one a line"),
    "migrate": (ledger_migrate, "bring the schema up to date, as its owner"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands with their arguments."""
    commands = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
    for name, (module, purpose) in SUBCOMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".")
        module.add_arguments(command)
        command.set_defaults(work=module.run)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(command.format_usage().strip() for command in commands.choices.values())


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    return int(args.work(args))
