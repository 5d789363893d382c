"""The short form: some seeds at every run of the tests. ``python -m tests.simulation --seeds 2000`` is the long one."""

from __future__ import annotations

import pytest

from tests.simulation.simulation import simulate

SEEDS = range(20)
BATCHES = [SEEDS[start : start + 10] for start in range(0, len(SEEDS), 10)]


@pytest.mark.parametrize("seeds", BATCHES, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_no_invariant_is_broken(seeds: range) -> None:
    """Whatever goes wrong: I1 to I9 hold, and no replica dies of itself."""
    broken = [f"--seed {seed}: {one}" for seed in seeds for one in simulate(seed).broken]
    assert not broken


def test_a_seed_replays() -> None:
    """The same seed does the same things in the same order, to the last line of its trace."""
    first, second = simulate(3, keep_trace=True), simulate(3, keep_trace=True)
    assert first.trace == second.trace
    assert len(first.trace) > 100


def test_the_world_is_rough() -> None:
    """Every fault happens, and actions come to every end: a simulation in which all goes well proves nothing."""
    reports = [simulate(seed) for seed in range(100, 106)]
    faults = {name for report in reports for name in report.faults}
    ends = {name for report in reports for name in report.counts}
    assert faults >= {"crash", "freeze", "lost answer", "failed write", "failed read", "database away", "late webhook"}
    assert ends >= {"effects", "recovered", "unchanged", "done", "expired", "pages"}
