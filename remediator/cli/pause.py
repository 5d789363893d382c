"""``remediator pause`` and ``remediator resume``: the kill switch. They need the database and nothing else."""

from __future__ import annotations

import argparse
import getpass
import re
import sys
from collections.abc import Sequence

from remediator.cli import lines
from remediator.cli.exits import Exit
from remediator.cli.paint import paint_for, safe, table
from remediator.cli.reading import add_database_arguments, at_desk, numbered, words
from remediator.desk import Desk
from remediator.model.pause import Pause, PauseScope
from remediator.model.target import Kind
from remediator.rulebook.duration import parse_duration

EVERYTHING = "all"
_PART = r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?"
_KINDS = {kind.value.lower() for kind in Kind}

Scope = tuple[PauseScope, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of both commands."""
    pausing = parser.prog.endswith("pause")
    parser.add_argument(
        "scope",
        metavar="SCOPE",
        nargs="?",
        type=scope if pausing else scope_or_number,
        default=(PauseScope.GLOBAL, ""),
        help="all (the default), namespace/NAME, rule/NAME or a target: deployment/NAMESPACE/NAME"
        + ("" if pausing else "; or the number of a pause: P7"),
    )
    if pausing:
        parser.add_argument(
            "--reason", type=words, required=False, default="", help="why; people and the ledger are told"
        )
        parser.add_argument(
            "--for", dest="seconds", metavar="TIME", type=duration, help="for how long (2h); else until it is resumed"
        )
        parser.add_argument("--list", action="store_true", help="show what is paused now, and pause nothing")
    parser.add_argument(
        "--as", dest="actor", metavar="NAME", type=words, default="", help="who does it (default: the login name)"
    )
    add_database_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Pause, resume, or show what is paused."""
    if args.command == "pause" and not args.list and not args.reason.strip():
        print(
            "remediator: nothing is paused: --reason is missing, and whoever is woken tonight wants to know why;"
            ' remediator pause --reason "..." pauses everything',
            file=sys.stderr,
        )
        return Exit.FAULTY
    code = at_desk(args, lambda desk: _work(args, desk))
    if code == Exit.FAILED and args.command == "pause" and not args.list:
        print(
            "remediator: without the database, pause each replica by its file: touch its --pause-file"
            " (the file 'paused' in its state folder)",
            file=sys.stderr,
        )
    return code


async def _work(args: argparse.Namespace, desk: Desk) -> int:
    actor = args.actor or getpass.getuser()
    if args.command == "resume":
        return await _resume(args.scope, actor, desk)
    if args.list:
        for line in screen(await desk.pauses.in_force(), paint_for(sys.stdout).columns):
            print(line)
        return Exit.OK
    kind, key = args.scope
    pause = await desk.pauses.pause(kind, key, reason=args.reason.strip(), actor=actor, seconds=args.seconds)
    until = f"until {lines.moment(pause.until)} UTC" if pause.until else f"until: remediator resume P{pause.number}"
    print(f"P{pause.number}: {safe(str(pause))} is paused {until}; writes end within 2 s on every replica")
    return Exit.OK


async def _resume(what: Scope | int, actor: str, desk: Desk) -> int:
    if isinstance(what, int):
        lifted = await desk.pauses.resume_one(what, actor=actor)
    else:
        lifted = await desk.pauses.resume(*what, actor=actor)
    if not lifted:
        print("remediator: nothing of that kind is paused; remediator pause --list shows what is", file=sys.stderr)
        return Exit.NOT_FOUND
    for pause in lifted:
        print(f"P{pause.number}: {safe(str(pause))} goes on (it was paused by {safe(pause.actor)})")
    left = await desk.pauses.in_force()
    if left:
        print(f"still paused: {', '.join(f'P{pause.number} ({safe(str(pause))})' for pause in left)}")
    return Exit.OK


def screen(pauses: Sequence[Pause], columns: int = 0) -> list[str]:
    """Return what is paused as lines, for a terminal of so many columns (0: for a pipe)."""
    if not pauses:
        return ["nothing is paused"]
    rows = [
        [
            f"P{pause.number}",
            safe(str(pause)),
            lines.moment(pause.since),
            lines.moment(pause.until) if pause.until else "resumed",
            safe(pause.actor),
            safe(pause.reason),
        ]
        for pause in pauses
    ]
    return table(rows, ["PAUSED", "WHAT", "SINCE (UTC)", "UNTIL", "BY", "WHY"], columns)


def scope(text: str) -> Scope:
    """Parse ``all``, ``namespace/x``, ``rule/x`` or ``deployment/ns/x``; raises the error that argparse shows."""
    if text == EVERYTHING:
        return PauseScope.GLOBAL, ""
    kind, _, rest = text.partition("/")
    if kind in (PauseScope.NAMESPACE, PauseScope.RULE) and re.fullmatch(_PART, rest):
        return PauseScope(kind), rest
    if kind.lower() in _KINDS and re.fullmatch(f"{_PART}/{_PART}", rest):
        return PauseScope.TARGET, f"{kind.lower()}/{rest}"
    raise argparse.ArgumentTypeError(
        f"{text!r} cannot be paused: write all, namespace/backstage, rule/service-unavailable"
        " or deployment/backstage/backstage"
    )


def scope_or_number(text: str) -> Scope | int:
    """Parse a scope, or the number of a pause (``P7``)."""
    number = numbered(text, "P")
    return scope(text) if number is None else number


def duration(text: str) -> int:
    """Parse ``2h``, at least a second."""
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if seconds < 1:
        raise argparse.ArgumentTypeError("a pause lasts a second at least; without --for it lasts until it is resumed")
    return seconds
