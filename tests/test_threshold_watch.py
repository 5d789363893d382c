"""What the settings mean for the poller of the threshold table."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from remediator.adapters.ledger.pool import LedgerPools
from remediator.adapters.prometheus import Reach, ThreadedPrometheus
from remediator.fittings import threshold_watch
from remediator.model.errors import ConfigError
from remediator.settings import Settings, load_settings
from tests.fakes.observer import Notebook

HERE = {"HOME": "/nowhere"}


def settings(**flags: str) -> Settings:
    """Return settings of which only these were given."""
    return load_settings({"rules": "rules", **flags}, HERE)


async def test_without_a_prometheus_nothing_is_polled_and_it_is_said_once(pools: LedgerPools) -> None:
    """The rows act on alerts, as they do anyway."""
    ear = Notebook()
    async with AsyncExitStack() as stack:
        assert threshold_watch(settings(), pools, stack, ear) is None
    (event,) = ear.events
    assert (event.stage, event.outcome) == ("poll", "not_polled")
    assert "--prometheus-url" in event.fields["why"]


async def test_the_settings_reach_the_poller(pools: LedgerPools, tmp_path: Path) -> None:
    """Times, address and credentials."""
    token = tmp_path / "token"
    given = settings(
        prometheus_url="http://p:9090",
        prometheus_token_file=str(token),
        poll_interval="30s",
        poll_settle="10m",
        unknown_after="5m",
    )
    async with AsyncExitStack() as stack:
        watch = threshold_watch(given, pools, stack, Notebook())
        assert watch is not None
        assert (watch.interval_s, watch.settle_s, watch.unknown_after_s) == (30.0, 600.0, 300.0)
        assert isinstance(watch.prometheus, ThreadedPrometheus)
        assert watch.prometheus.reach == Reach(url="http://p:9090", token_file=token)


@pytest.mark.parametrize("flag", ["poll_interval", "poll_settle", "unknown_after"])
def test_times_have_bounds(flag: str) -> None:
    """Nothing can be asked for all the time, nor never told."""
    for text in ("0s", "30d"):
        with pytest.raises(ConfigError, match=flag.replace("_", "-")):
            settings(**{flag: text})
