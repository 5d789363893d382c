"""Bells: a stage that has made work for another rings for it. If nobody hears, nothing is lost: every stage polls."""

from __future__ import annotations

import asyncio
from enum import StrEnum


class Stage(StrEnum):
    """The stages, in order."""

    MATCH = "match"
    ASSESS = "assess"
    ADMIT = "admit"
    EXECUTE = "execute"
    VERIFY = "verify"
    CLOSE = "close"
    NOTIFY = "notify"
    RECONCILE = "reconcile"
    POLL = "poll"
    RETURN = "return"


class Bells:
    """One bell for each stage.

    ``arriving`` counts the deliveries that are being stored at this moment, ``doubts`` what has made us doubt that we
    know all that fires.
    """

    def __init__(self) -> None:
        """Hang them up, silent."""
        self.arriving = 0
        self.doubts = 0
        self._rung = {stage: asyncio.Event() for stage in Stage}

    def ring(self, *stages: Stage) -> None:
        """Tell stages that work waits for them."""
        for stage in stages:
            self._rung[stage].set()

    def doubt(self) -> None:
        """Something may have been missed: Alertmanager is to be asked soon."""
        self.doubts += 1
        self.ring(Stage.RECONCILE)

    async def wait(self, stage: Stage, seconds: float) -> None:
        """Return when the bell rings, or after ``seconds``; the bell is silent again afterwards."""
        bell = self._rung[stage]
        try:
            async with asyncio.timeout(seconds):
                await bell.wait()
        except TimeoutError:
            return
        finally:
            bell.clear()
