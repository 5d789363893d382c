"""``remediator doctor``: what is there, what is missing, and what to do about it. Writes nothing anywhere."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from remediator import redaction
from remediator.adapters.clock import SystemClock
from remediator.cli import serve
from remediator.cli.exits import Exit
from remediator.cli.lines import as_json
from remediator.cli.paint import Paint, fold, paint_for, safe
from remediator.desk import daemon_file
from remediator.doctor.examine import examine
from remediator.doctor.finding import Finding, Grade
from remediator.options import OPTIONS
from remediator.settings import draft_settings

WIDTH = 100
"""Columns where nothing is known of the terminal."""
WIDEST = 20
"""Columns for what was looked at; a longer name moves its own line."""
FAULTS = frozenset({"settings", "rules"})
COLOURS = {Grade.OK: "green", Grade.NOTE: "cyan", Grade.GAP: "yellow", Grade.STOP: "red"}
WORDS = {Grade.OK: "ok", Grade.NOTE: "note", Grade.GAP: "GAP", Grade.STOP: "STOP"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the settings of ``serve``, for it looks at what they name, and the form of the answer."""
    serve.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="the findings as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Look at everything and print it."""
    config = args.config or (Path(found) if (found := os.environ.get("REMEDIATOR_CONFIG")) else None)
    draft = draft_settings({option.name: getattr(args, option.name) for option in OPTIONS}, config=config)
    findings = asyncio.run(examine(draft, SystemClock(), running=running(draft.settings.state_dir)))
    code = ending(findings)
    if args.json:
        print(as_json(document(findings, code)))
        return code
    paint = paint_for(sys.stdout)
    print("\n".join(screen(findings, paint, paint.columns or WIDTH)))
    return code


def running(state_dir: Path) -> str:
    """Return the database of the daemon on this machine, as it says itself; "" where none says so."""
    place = daemon_file(state_dir)
    try:
        return str(msgspec.json.decode(place.read_bytes())["dsn"]) if place.exists() else ""
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return ""


def ending(findings: Sequence[Finding]) -> Exit:
    """Return the exit code: faults of settings or rules, else what stops it, else nothing."""
    stops = {one.area for one in findings if one.grade is Grade.STOP}
    if stops & FAULTS:
        return Exit.FAULTY
    return Exit.FAILED if stops else Exit.OK


def document(findings: Sequence[Finding], code: Exit) -> dict[str, object]:
    """Return the findings as plain data."""
    told = [
        {
            "area": one.area,
            "what": one.what,
            "grade": one.grade.value,
            "found": _told(one),
            "advice": one.advice,
        }
        for one in findings
    ]
    return {"ok": code is Exit.OK, "exit_code": int(code), "findings": told}


def screen(findings: Sequence[Finding], paint: Paint, columns: int) -> list[str]:
    """Return the table: what stops it can be seen from afar, what to do stands below what was found."""
    first = max(len(one.area) for one in findings)
    second = min(WIDEST, max(len(one.what) for one in findings))
    lines = []
    before = ""
    for one in findings:
        area = one.area if one.area != before else ""
        before = one.area
        left = 6 + first + 2
        indent = left + max(second, len(one.what)) + 2
        word = paint(f"{WORDS[one.grade]:<4}", COLOURS[one.grade])
        found, *more = fold(safe(_told(one)), columns, left + 2, indent)
        lines.append(f"{word}  {safe(area):<{first}}  {safe(one.what):<{second}}  {found}".rstrip())
        lines += [" " * (left + 2) + part for part in more]
        if one.advice:
            advice = fold(f"-> {safe(one.advice)}", columns, left + 2)
            lines += [" " * (left + 2) + paint(part, "bold") for part in advice]
    return [*lines, "", _sum(findings)]


def _told(finding: Finding) -> str:
    """Return what was found, fit to be shown; what is told of settings has been made so already."""
    return finding.found if finding.area == "settings" else redaction.text(finding.found)


def _sum(findings: Sequence[Finding]) -> str:
    """Return the last line: what all of it comes to."""
    counts = Counter(one.grade for one in findings)
    words = ", ".join(f"{counts[grade]} {WORDS[grade]}" for grade in Grade if counts[grade])
    if counts[Grade.STOP]:
        return f"{words}: something stops it"
    return f"{words}: nothing stops it" if counts[Grade.GAP] else f"{words}: all well"
