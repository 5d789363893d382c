"""``remediator ledger export``: entries as lines of JSON or CSV, page by page, however many there are."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import msgspec

from remediator.cli import lines
from remediator.cli.exits import Exit
from remediator.cli.log import since
from remediator.cli.paint import safe
from remediator.cli.reading import add_database_arguments, at_desk
from remediator.core.chain import digest
from remediator.desk import Desk
from remediator.model.errors import ConfigError
from remediator.model.seal import StoredEntry

PAGE = 1000
COLUMNS = (
    *("seq", "at", "kind", "summary", "incident", "action", "rule", "target_key", "reasons", "data", "actor"),
    "sha256",
)
"""They do not change within a major version; new ones come last."""

_BEGINNING = datetime(1, 1, 2, tzinfo=UTC)
_PRIVATE = 0o600
# A spreadsheet takes a cell that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    when = "2h, 7d, or an ISO time such as 2026-03-14T03:00Z"
    parser.add_argument("--since", metavar="WHEN", type=since, help=f"from this time on: {when}")
    parser.add_argument("--until", metavar="WHEN", type=since, help=f"before this time: {when}")
    parser.add_argument(
        "--format", metavar="FORMAT", choices=("jsonl", "csv"), default="jsonl", help="jsonl (the default) or csv"
    )
    parser.add_argument(
        "--output",
        "-o",
        metavar="FILE",
        type=Path,
        help="write to this file, which only you may read; it is there when it is complete (default: standard output)",
    )
    add_database_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write the entries, in the order of time."""
    return at_desk(args, lambda desk: _export(args, desk))


async def _export(args: argparse.Namespace, desk: Desk) -> int:
    now = desk.clock.now()
    after = (args.since(now) if args.since else _BEGINNING, -1)
    until = args.until(now) if args.until else None
    written = 0
    with _output(args.output) as out:
        if args.format == "csv":
            out.write(_row(list(COLUMNS)))
        while page := await desk.records.recorded(after, until, PAGE):
            out.writelines(map(_as_csv if args.format == "csv" else _as_json, page))
            written += len(page)
            after = (page[-1].at, page[-1].seq)
        out.flush()
    if args.output is not None:
        print(f"{written} entries written to {args.output}", file=sys.stderr)
    return Exit.OK


@contextmanager
def _output(file: Path | None) -> Iterator[TextIO]:
    """Yield what to write to; a file takes its place when all is on the disk, and a broken-off one leaves nothing."""
    if file is None:
        yield sys.stdout
        return
    draft = file.with_name(f".{file.name}.part")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
                yield out
                out.flush()
                os.fsync(descriptor)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {file}: cannot be written: {error.strerror}") from error


def _as_json(entry: StoredEntry) -> str:
    fields: dict[str, Any] = {name: getattr(entry, name) for name in COLUMNS[:-1]}
    fields["data"] = msgspec.Raw(entry.data.encode())
    return lines.as_json({**fields, "sha256": digest(entry).hex()}) + "\n"


def _as_csv(entry: StoredEntry) -> str:
    fields: dict[str, Any] = {name: getattr(entry, name) for name in COLUMNS[:-1]}
    fields |= {"at": entry.at.isoformat(), "reasons": json.dumps(entry.reasons), "sha256": digest(entry).hex()}
    return _row([_cell(value) for value in fields.values()])


def _cell(value: object) -> str:
    text = "" if value is None else safe(str(value))
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


def _row(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
