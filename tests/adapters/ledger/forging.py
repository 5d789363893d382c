"""Tampering with what was recorded, for the tests that find it out."""

from __future__ import annotations

from typing import TypeAlias

import asyncpg

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def forge(owner: Owner, *statements: str) -> None:
    """Change what was recorded, as only the tables' owner can, and only with the guard taken off."""
    async with owner.transaction():
        for table in ("ledger", "seals"):
            await owner.execute(f"ALTER TABLE remediator.{table} DISABLE TRIGGER only_added_to")
        for statement in statements:
            await owner.execute(statement)
        for table in ("ledger", "seals"):
            await owner.execute(f"ALTER TABLE remediator.{table} ENABLE ALWAYS TRIGGER only_added_to")
