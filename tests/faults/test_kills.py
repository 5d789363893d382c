"""`kill -9` at a sample of the points that each kind of action passes; all of them are tried by `make faults`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import SHARP, drawn
from tests.faults.kills import Massacre
from tests.faults.stage import Kind

SAMPLE = 2


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_crash_loses_and_doubles_nothing(tmp_path: Path, database: str) -> None:
    """One effect for each alert, whichever replica dies at whichever point, and nothing waits for ever."""
    async with Massacre.playing(tmp_path, database, apps=40, haste=True) as massacre:
        await massacre.idle(2.0)
        for kind in Kind:
            found = await massacre.learn(kind)
            assert set(SHARP[kind]) <= set(found), [str(one) for one in found]
            for moment in (*SHARP[kind], *drawn(kind, [one for one in found if one not in SHARP[kind]])[:SAMPLE]):
                await massacre.round(kind, moment)
        toll = await massacre.judge(60)
        print(toll, toll.struck, toll.missed)
        assert toll.clean, str(toll)
        assert all(toll.struck[f"{kind.name.lower()}: {one}"] for kind, sharp in SHARP.items() for one in sharp)
