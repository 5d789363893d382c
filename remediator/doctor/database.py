"""Our own PostgreSQL: whether it answers, whether it would lose anything, and whether its schema is this version's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from remediator.adapters.ledger import look as outside
from remediator.adapters.ledger.embedded import binaries
from remediator.doctor.finding import Clock, Finding, Grade, Look
from remediator.model.errors import LedgerError

AREA = "database"
HINT = "--database-url, REMEDIATOR_DATABASE_URL"


async def look(dsn: str, now: datetime) -> Look:
    """Look at a server; ``now`` by this host's clock."""
    try:
        seen = await outside.look(dsn)
    except LedgerError as error:
        advice = f"start it, or correct its address ({HINT}); without it nothing is taken, decided or done"
        return Look(findings=(_finding("reachable", Grade.STOP, str(error), advice),))
    way = "" if seen.direct else ", behind a pooler"
    findings = [_finding("reachable", Grade.OK, f"PostgreSQL {seen.version} answers{way}")]
    findings += [_finding("settings", Grade.STOP, *_parted(fault)) for fault in seen.faults]
    if not seen.faults:
        findings.append(_finding("settings", Grade.OK, f"synchronous_commit is {seen.synchronous_commit}"))
        findings.append(_schema(seen.missing))
    findings += [_finding("role", Grade.NOTE, *_parted(warning)) for warning in seen.warnings]
    return Look(findings=tuple(findings), clocks=(Clock(whose=AREA, ahead_s=(seen.at - now).total_seconds()),))


def embedded(folder: Path, environ: Mapping[str, str]) -> Look:
    """Return what can be said of the embedded server without starting it. Raises ConfigError where there is none."""
    found = binaries.find(environ)
    there = (folder / "cluster").exists()
    words = f"the embedded PostgreSQL {found.major}, {'not running' if there else 'not made yet'}: {folder}"
    return Look(
        findings=(_finding("embedded", Grade.NOTE, words, f"serve starts it; replicas need a server ({HINT})"),)
    )


def _schema(missing: tuple[str, ...]) -> Finding:
    if missing:
        words = f"{len(missing)} migrations are to come, {missing[0]} first"
        return _finding("schema", Grade.NOTE, words, "serve applies them, or `remediator ledger migrate` before it")
    return _finding("schema", Grade.OK, "is this version's")


def _parted(words: str) -> tuple[str, str]:
    """Return what is so, and what to do, of a sentence that says both."""
    found, _, advice = words.partition("; ")
    return (found, advice) if advice else (words, "")


def _finding(what: str, grade: Grade, found: str, advice: str = "") -> Finding:
    return Finding(area=AREA, what=what, grade=grade, found=found, advice=advice)
