"""The sandbox against what a real API server was recorded to answer: every entry of every transcript."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from remediator.sandbox.clock import RandomIds
from remediator.sandbox.server import SandboxServer
from tests.sandbox import replay
from tests.sandbox.scenarios import LEFT_OUT, SCENARIOS


@asynccontextmanager
async def opened(scenario: replay.Scenario) -> AsyncIterator[replay.Replay]:
    """A sandbox as the recorded cluster was before the first entry of any transcript."""
    server = SandboxServer(ids=RandomIds(1), catalogue=replay.catalogue_without(scenario.without_groups))
    replay.furnish(server)
    url = await server.start()
    tokens = {
        "admin": server.admin_token,
        "narrow": server.add_service_account(replay.NAMESPACE, replay.SERVICE_ACCOUNT, uid="narrow"),
        "invalid": "nobody-knows-this",
        "deleted-sa": "gone-with-its-account",
    }
    try:
        async with aiohttp.ClientSession() as session:
            yield replay.Replay(server, session, url, scenario, tokens=tokens)
    finally:
        await server.stop()


async def play(name: str) -> dict[str, Any]:
    """Replay one transcript; returns the counts, and the differences by entry."""
    scenario = SCENARIOS.get(name, replay.Scenario())
    entries = replay.load(name)
    passed, left_out, sourced = 0, 0, 0
    different: list[str] = []
    async with opened(scenario) as running:
        running.seed(entries)
        for index, entry in enumerate(entries):
            if index in scenario.before:
                scenario.before[index](running)
            if entry.get("source"):
                sourced += 1
                running.absorb(entry)
                continue
            if (name, index) in LEFT_OUT:
                left_out += 1
                continue
            differences = running.differences(entry, *await running.ask(index, entry))
            passed += not differences
            if differences:
                different.append(f"{name}[{index}] {entry['note']}: " + "; ".join(differences))
    return {"passed": passed, "left_out": left_out, "sourced": sourced, "different": different}


@pytest.mark.parametrize("name", replay.names())
async def test_transcript_is_answered_as_recorded(name: str) -> None:
    """Every entry that is not left out by name gets the answer that was recorded."""
    result = await play(name)
    assert result["different"] == []


def test_what_is_left_out_is_counted() -> None:
    """At least nine in ten of the entries that a server alone answers are held to; each other one has its reason."""
    contract = [
        (name, index)
        for name in replay.names()
        for index, entry in enumerate(replay.load(name))
        if not entry.get("source")
    ]
    left_out = [place for place in contract if place in LEFT_OUT]
    assert set(LEFT_OUT) <= set(contract)
    assert all(reason for reason in LEFT_OUT.values())
    assert len(contract) == 520
    assert len(left_out) <= len(contract) // 10, f"{len(left_out)} of {len(contract)} are left out"
