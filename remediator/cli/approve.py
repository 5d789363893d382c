"""``remediator approve`` and ``remediator reject``: a person's answer to an action that waits for one."""

from __future__ import annotations

import argparse
import getpass
import sys

from remediator.cli.exits import Exit
from remediator.cli.paint import safe
from remediator.cli.reading import add_database_arguments, at_desk, numbered, words
from remediator.desk import Desk


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of both commands."""
    parser.add_argument("action", metavar="ACTION", type=action_number, help="the action that waits (A42)")
    parser.add_argument("--reason", type=words, default="", help="why; it goes into the ledger")
    parser.add_argument(
        "--as", dest="actor", metavar="NAME", type=words, default="", help="who answers (default: the login name)"
    )
    add_database_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Record the answer."""
    return at_desk(args, lambda desk: _answer(args, desk))


async def _answer(args: argparse.Namespace, desk: Desk) -> int:
    approved = args.command == "approve"
    actor = args.actor or getpass.getuser()
    if not await desk.approvals.answer(args.action, approved=approved, actor=actor, reason=args.reason):
        print(
            f"remediator: action A{args.action} does not wait for an answer; remediator status shows what does",
            file=sys.stderr,
        )
        return Exit.NOT_FOUND
    then = "it is decided anew on fresh facts, by all guards" if approved else "it will not be done"
    print(f"A{args.action} {'approved' if approved else 'rejected'} by {safe(actor)}: {then}")
    return Exit.OK


def action_number(text: str) -> int:
    """Parse ``A42`` or ``42``."""
    number = numbered(text, "A")
    if number is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no action: write A42")
    return number
