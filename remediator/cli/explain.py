"""``remediator explain``: why it did, or did not, act; from the ledger alone."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from typing import Any

from remediator.cli import lines
from remediator.cli.exits import Exit
from remediator.cli.paint import Paint, fold, paint_for, safe
from remediator.cli.reading import add_database_arguments, at_desk, numbered
from remediator.desk import Desk
from remediator.model.entry import Entry, EntryKind
from remediator.model.incident import Incident
from remediator.ports.ledger import LedgerQuery

MOST = 1000
MARGIN = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("what", metavar="INCIDENT|ACTION", help="an incident (17 or #17) or an action (A42)")
    parser.add_argument("--evidence", action="store_true", help="print the evidence too: pods, events, logs")
    parser.add_argument("--json", action="store_true", help="everything as one JSON object")
    add_database_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Explain one incident or one action."""
    return at_desk(args, lambda desk: _explain(args, desk))


async def _explain(args: argparse.Namespace, desk: Desk) -> int:
    kind, prefix = ("action", "A") if args.what[:1] in "aA" else ("incident", "#")
    number = numbered(args.what, prefix)
    if number is None:
        print(f"remediator: {safe(args.what)!r} is neither an incident (17, #17) nor an action (A42)", file=sys.stderr)
        return Exit.FAULTY
    action = await desk.view.action(number) if kind == "action" else None
    incident = (
        await desk.view.incident(action["incident"] if action else number) if action or kind == "incident" else None
    )
    if incident is None:
        print(f"remediator: the ledger has no {kind} {number}; remediator log shows what it has", file=sys.stderr)
        return Exit.NOT_FOUND
    query = LedgerQuery(action=number, limit=MOST) if action else LedgerQuery(incident=incident.id, limit=MOST)
    entries = await desk.view.entries(query)
    actions = (action,) if action else await desk.view.actions_of(incident.id)
    evidence = await desk.view.evidence_of(incident.id)
    contents = [await desk.view.evidence(one["id"]) for one in evidence] if args.evidence else []
    if args.json:
        everything = {"incident": incident, "actions": actions, "entries": entries, "evidence": contents or evidence}
        print(lines.as_json(everything))
        return Exit.OK
    paint = paint_for(sys.stdout)
    for line in report(incident, actions, entries, paint):
        print(line)
    _print_evidence(evidence, contents, incident, paint)
    _print_forgotten(entries, len(evidence), paint)
    return Exit.OK


def report(
    incident: Incident, actions: tuple[dict[str, Any], ...], entries: tuple[Entry, ...], paint: Paint
) -> list[str]:
    """Return the explanation as lines: what it is about, what was done, and each decision with its numbers."""
    ended = f", resolved {lines.moment(incident.resolved_at)}" if incident.resolved_at else ""
    out = [
        paint(f"Incident #{incident.id}: {safe(incident.title)}", "bold"),
        f"  {incident.severity.value}, {incident.state.value}, opened {lines.moment(incident.opened_at)} UTC{ended}",
        f"  target {safe(incident.target_key)}, rule {safe(incident.rule)}",
        "",
    ]
    for action in actions:
        out += _action(action, paint)
    out.append(paint("Timeline", "bold"))
    for entry in entries:
        out.append(lines.line(entry, paint, MARGIN))
        out += _numbers(entry, paint)
    return out


def _action(action: dict[str, Any], paint: Paint) -> list[str]:
    undoes = action["plan"].get("undoes")
    why = f"undoes A{undoes['action']}" if undoes else f"rung {action['rung']}"
    how = f"mode {action['mode']}, {why}, fence {action['fence']}, attempts {action['attempts']}"
    out = [
        paint(f"Action A{action['number']}: {safe(action['plan']['summary'])}", "bold"),
        f"  {action['state']} ({how})",
    ]
    if action["note"] and action["note"] != action["plan"]["summary"]:
        out.append(f"  {safe(action['note'])}")
    out.extend(f"  {_patch(step)}" for step in action["plan"]["steps"] if step["type"] == "patch_object")
    return [*out, ""]


def _patch(step: dict[str, Any]) -> str:
    """Return what a step sends; a restart sends nothing but its mark, where it makes new pods."""
    patch = safe(json.dumps(step["patch"], sort_keys=True)) if step["patch"] else ""
    mark = (
        'the mark "remediator.io/action" on the pod template, which replaces the pods' if step["mark_template"] else ""
    )
    return f"patch {' and '.join(part for part in (patch, mark) if part)}".rstrip()


def _numbers(entry: Entry, paint: Paint) -> list[str]:
    """Return what a decision saw, and a hold's refusals, one a line, with the numbers behind each."""
    out = []
    if seen := entry.data.get("workload"):
        at = lines.moment(datetime.fromisoformat(entry.data["facts_read_at"]))
        numbers = ", ".join(f"{name}={value}" for name, value in sorted(seen.items()))
        out.append(f"seen at {at}: {numbers}")
    for refusal in entry.data.get("refusals", ()):
        numbers = ", ".join(f"{name}={value}" for name, value in sorted(refusal["numbers"].items()))
        out.append(f"{refusal['reason']}: {numbers}")
    for name, why in sorted((entry.data.get("missing") or {}).items()):
        out.append(f"could not read {name}: {why}")
    if entry.data.get("retry_at"):
        at = lines.moment(datetime.fromisoformat(entry.data["retry_at"]))
        out.append(f"asked again at {at}")
    indent = MARGIN + lines.SENTENCE
    return [" " * indent + paint(part, "dim") for text in out for part in fold(safe(text), paint.columns, indent)]


def _print_forgotten(entries: tuple[Entry, ...], there: int, paint: Paint) -> None:
    gone = sum(entry.kind is EntryKind.EVIDENCE for entry in entries) - there
    if gone > 0:
        print(paint(f"  {gone} bundles of evidence are forgotten: their time after the incident is over", "dim"))


def _print_evidence(
    evidence: tuple[dict[str, Any], ...], contents: list[dict[str, Any] | None], incident: Incident, paint: Paint
) -> None:
    if not evidence:
        return
    print()
    print(paint("Evidence", "bold"))
    for one in evidence:
        at = lines.moment(one["captured_at"])
        print(
            f"  {one['id']}: {at} UTC, {one['size'] / 1024:.0f} KiB, sha256 {one['sha256'][:16]}, {one['target_key']}"
        )
    if not contents:
        print(f"  (remediator explain {incident.id} --evidence prints it)")
    for content in contents:
        for name, part in sorted((content or {"content": {"parts": {}}})["content"]["parts"].items()):
            print(paint(f"  == {safe(name)}", "bold"))
            shown = (
                [f"    {safe(text)}" for text in part.splitlines()]
                if isinstance(part, str)
                else lines.pretty(part, "    ")
            )
            print("\n".join(shown))
