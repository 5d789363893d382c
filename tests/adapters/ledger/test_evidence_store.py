"""Evidence in PostgreSQL: kept whole, under a hash that what is stored bears out, and named in the ledger."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from remediator.adapters.ledger.evidence import LedgerEvidenceStore, digest_of
from remediator.adapters.ledger.pool import LedgerPool, LedgerPools
from remediator.adapters.ledger.record import LedgerView
from tests.adapters.ledger.stand import Owner, admit_actions

TARGET = "deployment/backstage/app-1"


async def keep(pool: LedgerPool, parts: dict[str, Any], notes: dict[str, Any] | None = None) -> str:
    """Keep a bundle of incident 1."""
    return await LedgerEvidenceStore(pool).keep(1, 1, TARGET, parts, notes or {})


async def test_a_bundle_comes_back_whole(pools: LedgerPools, owner: Owner) -> None:
    """With its names, its nested data, its numbers; and its list without the content."""
    await admit_actions(owner, pools.stages)
    parts = {"pods": [{"name": "a", "restarts": 7, "cpu": 0.5, "none": None}], "logs/a/app": "崩 \x1b[31m line\nline"}
    digest = await keep(pools.stages, parts, {"truncated": ["logs/a/app"], "missing": {"events": "forbidden"}})
    view = LedgerView(pools.read)
    (listed,) = await view.evidence_of(1)
    assert (listed["incident"], listed["action"], listed["target_key"]) == (1, 1, TARGET)
    assert (listed["sha256"], listed["truncated"]) == (digest, ["logs/a/app"])
    assert "content" not in listed
    found = await view.evidence(listed["id"])
    assert found is not None
    assert found["content"]["parts"] == parts
    assert found["content"]["notes"]["missing"] == {"events": "forbidden"}
    assert await view.evidence(listed["id"] + 1) is None
    assert await view.evidence_of(2) == ()


async def test_what_an_action_saw_first_is_kept(pools: LedgerPools, owner: Owner) -> None:
    """Whoever takes an action over looks again: one bundle, one entry, and the caller learns which one it is."""
    await admit_actions(owner, pools.stages)
    first = await keep(pools.stages, {"pods": "before"})
    assert await keep(pools.stages, {"pods": "after"}) == first
    assert [row["sha256"] for row in await LedgerView(pools.read).evidence_of(1)] == [first]
    assert await owner.fetchval("SELECT count(*) FROM remediator.ledger WHERE kind = 'evidence'") == 1


async def test_the_digest_can_be_made_again_of_what_is_stored(pools: LedgerPools, owner: Owner) -> None:
    """PostgreSQL keeps an object's keys in an order of its own; a change of one letter shows."""
    await admit_actions(owner, pools.stages)
    parts = {"zz": {"long-name": 1, "b": [1, 2.5, True]}, "a": "ü \x00 \ud800 \\u0000", "": {}}
    digest = await keep(pools.stages, parts)
    stored = await owner.fetchval("SELECT content::text FROM remediator.evidence")
    assert digest_of(stored) == digest
    by_hand = json.dumps(json.loads(stored), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(by_hand.encode()).hexdigest() == digest
    assert digest_of(stored.replace("long-name", "long-nome")) != digest


@pytest.mark.parametrize(
    ("text", "kept"),
    [("\x00\x00", "\ufffd\ufffd"), ("a\ud83d", "a\ufffd"), ("\U0001f4a5", "\U0001f4a5"), ("\\u0000", "\\u0000")],
)
async def test_what_a_log_may_hold_is_kept(pools: LedgerPools, owner: Owner, text: str, kept: str) -> None:
    """Bytes that no database takes do not lose the rest of the bundle."""
    await admit_actions(owner, pools.stages)
    await keep(pools.stages, {"logs": text, text: "name"})
    assert json.loads(await owner.fetchval("SELECT content -> 'parts' FROM remediator.evidence")) == {
        "logs": kept,
        kept: "name",
    }


async def test_the_size_is_in_bytes(pools: LedgerPools, owner: Owner) -> None:
    """Of the text as it was hashed; a megabyte is no trouble."""
    await admit_actions(owner, pools.stages)
    await keep(pools.stages, {"logs": "ü" * 500_000})
    envelope = len('{"notes":{},"parts":{"logs":""}}')
    assert await owner.fetchval("SELECT size FROM remediator.evidence") == 1_000_000 + envelope


async def test_the_ledger_names_it(pools: LedgerPools, owner: Owner) -> None:
    """What was kept, how much, what could not be read."""
    await admit_actions(owner, pools.stages)
    digest = await keep(pools.stages, {"pods": [], "events": []}, {"missing": {"logs/a": "forbidden"}})
    await LedgerEvidenceStore(pools.stages).keep(1, 1, f"{TARGET}0", {"pods": []}, {})
    said = await owner.fetch(
        """SELECT summary, incident, action, target_key, data::text AS data
           FROM remediator.ledger WHERE kind = 'evidence' ORDER BY seq"""
    )
    assert tuple(said[0])[1:4] == (1, 1, TARGET)
    assert said[0]["summary"].startswith("evidence kept: 2 parts, 0 KiB; 1 could not be read")
    data = json.loads(said[0]["data"])
    assert (data["sha256"], data["parts"], data["missing"]) == (digest, ["events", "pods"], {"logs/a": "forbidden"})
    assert "could not" not in said[1]["summary"]
