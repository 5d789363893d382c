"""``remediator undo``: return what an action changed to what it was before, through the daemon and all its guards."""

from __future__ import annotations

import argparse
import getpass
import sys

from remediator.cli import lines
from remediator.cli.approve import action_number
from remediator.cli.exits import Exit
from remediator.cli.paint import paint_for, safe
from remediator.cli.reading import add_database_arguments, at_desk, words
from remediator.core.undo import WAITS_S, obstacle
from remediator.core.words import span
from remediator.desk import Desk
from remediator.model.entry import Entry, EntryKind
from remediator.model.undo import Former
from remediator.ports.ledger import LedgerQuery

LOOK_S = 0.5
PATIENCE_S = 180.0
MOST = 500
# How the undo may end; each is the last word about it.
ENDS = {
    EntryKind.ACTION_VERIFIED: Exit.OK,
    EntryKind.ACTION_REFUSED: Exit.FAILED,
    EntryKind.ACTION_EXPIRED: Exit.FAILED,
    EntryKind.ACTION_OBSERVED: Exit.FAILED,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", metavar="ACTION", type=action_number, help="the action to undo (A42)")
    parser.add_argument("--reason", type=words, default="", help="why; it goes into the ledger")
    parser.add_argument(
        "--as", dest="actor", metavar="NAME", type=words, default="", help="who asks (default: the login name)"
    )
    parser.add_argument("--no-wait", action="store_true", help="ask, and do not wait for what comes of it")
    add_database_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for the undo, and tell what comes of it."""
    return at_desk(args, lambda desk: _undo(args, desk))


async def _undo(args: argparse.Namespace, desk: Desk) -> int:
    former = await desk.undos.former(args.action)
    if former is None:
        print(f"remediator: the ledger has no action {args.action}; remediator log shows what it has", file=sys.stderr)
        return Exit.NOT_FOUND
    why = obstacle(former)
    if why:
        print(f"remediator: A{former.number} cannot be undone: {safe(why)}", file=sys.stderr)
        return Exit.FAILED
    last = await _last(desk, former)
    actor = args.actor or getpass.getuser()
    if not await desk.undos.ask(former, actor=actor, reason=args.reason):
        print(f"A{former.number}: somebody has asked for this already, and it waits to be decided")
    print(f"A{former.number} ({safe(former.plan.summary)}): the daemon is asked to undo it, by all its guards")
    if args.no_wait or not desk.live:
        away = "" if desk.live else "; no daemon runs here"
        print(f"it is done within {span(WAITS_S)} or not at all{away}; remediator log tells")
        return Exit.OK
    return await _follow(desk, former, last)


async def _last(desk: Desk, former: Former) -> int:
    """Return the number of the ledger's last entry about the incident."""
    entries = await desk.view.entries(LedgerQuery(incident=former.incident, limit=1))
    return entries[-1].seq if entries else 0


async def _follow(desk: Desk, former: Former, last: int) -> int:
    """Print what the ledger says of the undo until it has ended."""
    paint, own = paint_for(sys.stdout), 0
    until = desk.clock.monotonic() + PATIENCE_S
    while desk.clock.monotonic() < until:
        for entry in await desk.view.entries(LedgerQuery(after=last, incident=former.incident, limit=MOST)):
            last = entry.seq
            own = own or _own(entry, former)
            if _about(entry, former, own):
                print(lines.line(entry, paint))
            ended = _ended(entry, former, own)
            if ended is not None:
                return ended
        await desk.clock.sleep(LOOK_S)
    print(f"remediator: nothing has come of it for {span(PATIENCE_S)}; remediator log tells more", file=sys.stderr)
    return Exit.FAILED


def _decides(entry: Entry, former: Former) -> bool:
    """Tell whether an entry is a decision about this undo."""
    return entry.data.get("cause") == "undo" and entry.data.get("fingerprint") == str(former.number)


def _own(entry: Entry, former: Former) -> int:
    """Return the number of the action that undoes, where this entry is the decision that makes it; else 0."""
    return entry.action or 0 if _decides(entry, former) else 0


def _about(entry: Entry, former: Former, own: int) -> bool:
    return _decides(entry, former) or entry.action in {former.number, own or former.number}


def _ended(entry: Entry, former: Former, own: int) -> int | None:
    """Return the exit code that an entry means, None if it goes on."""
    if entry.kind is EntryKind.DECISION_HOLD and _decides(entry, former):
        return None if entry.data.get("retry_at") else Exit.FAILED
    if not own or entry.action != own or entry.kind not in ENDS:
        return None
    if entry.kind is EntryKind.ACTION_VERIFIED and entry.data.get("verdict") != "recovered":
        return Exit.FAILED
    return ENDS[entry.kind]
