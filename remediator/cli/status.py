"""``remediator status``: what waits where, what is open, and what was done in the last day."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from remediator.cli import lines
from remediator.cli.exits import Exit
from remediator.cli.paint import Paint, fold, paint_for, safe, table
from remediator.cli.pause import screen as paused
from remediator.cli.reading import add_database_arguments, at_desk, how_many
from remediator.desk import Desk
from remediator.model.incident import Incident, IncidentState
from remediator.model.loan import Loan, LoanState
from remediator.ports.measuring import RowSummary

MOST = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--limit",
        metavar="N",
        type=how_many,
        default=MOST,
        help=f"at most so many open incidents, the newest, and as many questions, the oldest (default {MOST})",
    )
    parser.add_argument("--json", action="store_true", help="the same figures as one JSON object")
    add_database_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the figures and the open incidents."""
    return at_desk(args, lambda desk: _status(args, desk))


async def _status(args: argparse.Namespace, desk: Desk) -> int:
    counts = await desk.view.counts()
    incidents = await desk.view.incidents(open_only=True, limit=args.limit)
    asked = await desk.view.asked(args.limit)
    pauses = await desk.pauses.in_force()
    lent = await desk.loans.lent(args.limit)
    rows = await desk.thresholds.rows()
    if args.json:
        told: dict[str, Any] = {
            "paused": pauses,
            "open_in_all": _open_in_all(counts),
            "asked": asked,
            "lent": lent,
            "open": incidents,
        }
        told["thresholds"] = rows
        print(lines.as_json({**counts, **told}))
        return Exit.OK
    paint = paint_for(sys.stdout)
    if pauses:
        print("\n".join([*paused(pauses, paint.columns), ""]))
    if not desk.live:
        print(paint("no daemon runs on this ledger here: nothing is decided or done until one is started", "yellow"))
    for line in [*screen(counts, asked, incidents, paint), *on_loan(lent, paint), *watched(rows, paint)]:
        print(line)
    return Exit.OK


def screen(
    counts: dict[str, Any], asked: tuple[dict[str, Any], ...], incidents: tuple[Incident, ...], paint: Paint
) -> list[str]:
    """Return the status screen as lines."""
    waiting = [
        ["signals to match", str(counts["signals_waiting"])],
        ["candidates to decide", str(counts["candidates_waiting"])],
        ["candidates held", str(counts["candidates_held"])],
        ["notifications to send", str(counts["notifications_waiting"])],
        ["notifications given up", str(counts["notifications_dead"])],
    ]
    fences = safe(counts["fences"] or "not known whether the cluster enforces fences")
    clock = counts["database_time"][:19].replace("T", " ")
    rules = str(counts["rule_set"] or "none")[:12]
    out = [
        paint(f"Alerts firing: {counts['alerts_firing']}   ledger entries: {counts['ledger_entries']}", "bold"),
        f"database time {clock}, rule set {rules}",
        *(paint(part, "dim") for part in fold(fences, paint.columns, 0)),
        "",
        *table(waiting, ["WAITING", "COUNT"]),
        "",
        f"incidents: {_by_state(counts['incidents'])}",
        f"actions of the last 24 h: {_by_state(counts['actions'])}",
    ]
    if asked:
        rows = [[f"A{action['number']}", f"#{action['incident']}", safe(action["plan"]["summary"])] for action in asked]
        out += ["", *table(rows, ["APPROVE?", "INCIDENT", "WHAT WOULD BE DONE"], paint.columns)]
        out += _left_out(counts["asked_in_all"], len(asked), "questions", paint)
        out += [paint("say yes or no: remediator approve ACTION, remediator reject ACTION", "dim")]
    if incidents:
        rows = [_incident(incident) for incident in incidents]
        out += ["", *table(rows, ["OPEN", "SEV", "STATE", "SINCE (UTC)", "TARGET", "TITLE"], paint.columns)]
        out += _left_out(_open_in_all(counts), len(incidents), "open incidents", paint)
    return out


def on_loan(lent: tuple[Loan, ...], paint: Paint) -> list[str]:
    """Return what is lent as lines, the first to go back first; none where nothing is."""
    if not lent:
        return []
    rows = [[f"A{loan.action}", lines.moment(loan.return_at), safe(loan.target_key), _lent(loan)] for loan in lent]
    return ["", *table(rows, ["LENT", "UNTIL (UTC)", "TARGET", "WHAT"], paint.columns)]


def watched(rows: tuple[RowSummary, ...], paint: Paint) -> list[str]:
    """Return how the rows of the threshold table stand as lines; none where it is not polled."""
    if not rows:
        return []
    head = ["THRESHOLD ROW", "OK", "PENDING", "WARNING", "CRITICAL", "UNKNOWN", "LAST LOOK (UTC)", "WHY UNKNOWN"]
    return ["", *table([_watched(row) for row in rows], head, paint.columns)]


def _watched(row: RowSummary) -> list[str]:
    counts = (row.ok, row.pending, row.warning, row.critical, row.unknown)
    since = f" since {lines.moment(row.unknown_since)}" if row.unknown_since is not None else ""
    return [row.row, *map(str, counts), lines.moment(row.looked_at), safe(f"{row.unknown_why}{since}".strip())]


def _lent(loan: Loan) -> str:
    """Return what was lent, and how far it is on its way back."""
    how = "going back" if loan.state is LoanState.RETURNING else loan.note
    return safe(f"{loan.summary} ({how})" if how else loan.summary)


def _open_in_all(counts: dict[str, Any]) -> int:
    return sum(count for state, count in counts["incidents"].items() if state != IncidentState.RESOLVED)


def _left_out(in_all: int, shown: int, what: str, paint: Paint) -> list[str]:
    """Say how many more there are, if any: a list that is cut in silence reads as the whole."""
    more = in_all - shown
    return [paint(f"and {more} more {what}; --limit {in_all} shows all {in_all}", "yellow")] if more > 0 else []


def _incident(incident: Incident) -> list[str]:
    return [
        f"#{incident.id}",
        incident.severity.value,
        incident.state.value,
        lines.moment(incident.opened_at),
        safe(incident.target_key),
        safe(incident.title),
    ]


def _by_state(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none"
