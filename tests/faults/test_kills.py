"""`kill -9` at a sample of the points that each kind of action passes; all of them are tried by `make faults`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.faults.kills import Massacre, Moment
from tests.faults.stage import Kind

SEED = "2026-11"
SAMPLE = 2
# Where a crash is most dangerous; each is in the sample.
SHARP = {
    Kind.RESTART: (Moment("PATCH deployments", after=False), Moment("PATCH deployments", after=True)),
    Kind.SCALE: (Moment("PATCH deployments", after=True),),
    Kind.INVESTIGATE: (Moment("commit of put_evidence", after=True),),
    Kind.NOTIFY: (Moment("POST people", after=True),),
}


def sample(kind: Kind, found: list[Moment]) -> list[Moment]:
    """Return the sharp points and a few others, the same ones for the same seed."""
    others = sorted(
        set(found) - set(SHARP[kind]), key=lambda one: hashlib.sha256(f"{SEED} {kind} {one}".encode()).digest()
    )
    return [*SHARP[kind], *others[:SAMPLE]]


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_crash_loses_and_doubles_nothing(tmp_path: Path, database: str) -> None:
    """One effect for each alert, whichever replica dies at whichever point, and nothing waits for ever."""
    async with Massacre.playing(tmp_path, database, apps=40, haste=True) as massacre:
        await massacre.idle(2.0)
        for kind in Kind:
            found = await massacre.learn(kind)
            assert set(SHARP[kind]) <= set(found), [str(one) for one in found]
            for moment in sample(kind, found):
                await massacre.round(kind, moment)
        toll = await massacre.judge(60)
        print(toll, toll.struck, toll.missed)
        assert toll.clean, str(toll)
        assert all(toll.struck[f"{kind.name.lower()}: {one}"] for kind, sharp in SHARP.items() for one in sharp)
