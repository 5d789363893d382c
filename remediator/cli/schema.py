"""``remediator schema``: the JSON Schema of rule files, for editors; also that of cases, and the reference page."""

from __future__ import annotations

import argparse

import msgspec

from remediator.cli.exits import Exit
from remediator.rulebook.reference import reference_text
from remediator.rulebook.schema import case_file_schema, rule_file_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--case", action="store_true", help="print the schema of case files instead")
    what.add_argument("--markdown", action="store_true", help="print docs/reference/rules.md instead")


def run(args: argparse.Namespace) -> int:
    """Print what was asked for."""
    if args.markdown:
        print(reference_text(), end="")
        return Exit.OK
    schema = case_file_schema() if args.case else rule_file_schema()
    print(msgspec.json.format(msgspec.json.encode(schema), indent=2).decode())
    return Exit.OK
