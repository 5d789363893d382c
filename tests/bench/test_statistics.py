"""Percentiles, medians and ratios, on numbers that can be checked by hand; Hypothesis for what holds of any numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics import median, median_ratio, milliseconds, percentile

FINITE = st.floats(min_value=0.001, max_value=1e6)


@pytest.mark.parametrize(("percent", "wanted"), [(0, 1), (50, 5), (51, 6), (99, 10), (100, 10)])
def test_percentile_is_a_value_that_was_measured(percent: float, wanted: float) -> None:
    """The nearest rank: the smallest value that so many do not exceed."""
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent) == wanted


def test_the_median_of_an_even_number_lies_between() -> None:
    """Two in the middle are averaged."""
    assert (median([3, 1, 2]), median([4, 1, 3, 2])) == (2, 2.5)


def test_nothing_measured_is_no_number() -> None:
    """An empty series is NaN, which meets no goal."""
    assert all(math.isnan(value) for value in (percentile([], 50), median([]), median_ratio([], [])))


def test_ratios_are_taken_round_by_round() -> None:
    """The median of the ratios, not the ratio of the medians: a round in which the machine was slow cancels out."""
    assert median_ratio([1, 10, 100], [2, 10, 400]) == 0.5


def test_a_round_that_was_not_measured_does_not_count() -> None:
    """NaN and zero drop out on either side."""
    assert median_ratio([1, math.nan, 3], [2, 1, 0]) == 0.5


def test_times_are_paired() -> None:
    """Nanoseconds in, milliseconds out; a missing partner is an error, not a silent cut."""
    assert milliseconds([0, 1_000_000], [2_000_000, 1_500_000]) == [2.0, 0.5]
    with pytest.raises(ValueError, match="zip"):
        milliseconds([0], [])


@given(st.lists(FINITE, min_size=1))
def test_percentiles_rise_and_stay_inside(values: list[float]) -> None:
    """p50 <= p99, and both were measured."""
    middle, high = percentile(values, 50), percentile(values, 99)
    assert min(values) <= middle <= high <= max(values)
    assert {middle, high} <= set(values)


@given(st.lists(FINITE, min_size=1), FINITE)
def test_a_constant_factor_is_found(theirs: list[float], factor: float) -> None:
    """Whatever the rounds were, a system that is always so many times as fast has that ratio."""
    assert median_ratio([value * factor for value in theirs], theirs) == pytest.approx(factor)
