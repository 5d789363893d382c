"""What every observer promises: it takes any event of any stage, whatever is in it, and never raises."""

from __future__ import annotations

import pytest

from remediator.adapters.observer import Telemetry
from remediator.ports.observer import Observer, StageEvent
from tests.fakes.observer import Notebook
from tests.flow.rig import Ear


@pytest.fixture(params=[Notebook, Ear, Telemetry])
def observer(request: pytest.FixtureRequest) -> Observer:
    """Each observer in turn."""
    made: Observer = request.param()
    return made


@pytest.mark.parametrize(
    "event",
    [
        StageEvent(stage="match", outcome="signals", count=500),
        StageEvent(stage="admit", outcome="act", seconds=0.0),
        StageEvent(stage="hold", outcome="cooldown"),
        StageEvent(stage="hold", outcome="no reason that there is"),
        StageEvent(stage="verify", outcome="recovered", seconds=1e9),
        StageEvent(stage="notify", outcome="sent", count=0),
        StageEvent(stage="", outcome=""),
        StageEvent(stage="no stage", outcome="\x00\ud800 {} %s\n"),
        StageEvent(stage="execute", outcome="x", fields={"event": 1, "level": None, "timestamp": [], "a": object()}),
        StageEvent(stage="execute", outcome="x", fields={"error": "\ud800", "": {"\x00": {1, 2}}}),
    ],
    ids=lambda event: f"{event.stage}-{event.outcome}".encode("ascii", "replace").decode(),
)
def test_it_never_raises(observer: Observer, event: StageEvent) -> None:
    """What it is told is over already: nothing may be undone by telling it."""
    assert observer.tell(event) is None  # type: ignore[func-returns-value]
