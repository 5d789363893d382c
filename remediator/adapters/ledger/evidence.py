"""Where evidence is kept: by incident, under its own hash, with a ledger entry that names it."""

from __future__ import annotations

import hashlib
from typing import Any

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.pool import LedgerPool, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.entry import EntryKind, NewEntry


class LedgerEvidenceStore:
    """Implements ports.actions.EvidenceStore."""

    def __init__(self, pool: LedgerPool) -> None:
        """Work on ``pool``."""
        self._pool = pool

    async def keep(
        self, incident: int, action: int, target_key: str, parts: dict[str, Any], notes: dict[str, Any]
    ) -> str:
        """Store one bundle; return its SHA-256, which anybody can make again of what is stored (``digest_of``).

        An action has one bundle about its target: where a former owner has kept it, that one stays, and its SHA-256 is
        returned.
        """
        content = rows.as_json({"parts": parts, "notes": notes}, ordered=True)
        digest, size = digest_of(content), len(content.encode())
        missing = notes.get("missing") or {}
        summary = f"evidence kept: {len(parts)} parts, {size / 1024:.0f} KiB"
        if missing:
            summary += f"; {len(missing)} could not be read (remediator explain tells which)"
        entry = NewEntry(
            kind=EntryKind.EVIDENCE,
            summary=summary,
            incident=incident,
            action=action,
            target_key=target_key,
            data={
                "sha256": digest,
                "parts": sorted(parts),
                "truncated": notes.get("truncated", []),
                "missing": missing,
            },
        )
        async with transaction(self._pool) as connection:
            (kept,) = await connection.fetch(
                QUERIES["put_evidence"],
                incident,
                action,
                target_key,
                digest,
                size,
                list(notes.get("truncated", [])),
                content,
            )
            if kept["fresh"]:
                await connection.execute(QUERIES["append_entries"], rows.entries_json([entry]))
        return str(kept["sha256"])


def digest_of(content: str) -> str:
    """Return the SHA-256 of a bundle's JSON text. PostgreSQL keeps neither order nor spacing, so neither may matter."""
    return hashlib.sha256(rows.as_json(rows.plain(content), ordered=True).encode()).hexdigest()
