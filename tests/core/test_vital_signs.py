"""Whether Prometheus is to be believed at all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from remediator.core import vital_signs
from remediator.model.measure import Answer, Sample, Unseen

AT = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)
NOW = AT.timestamp()


def signs(**values: float) -> Answer:
    """Return an answer to the question."""
    return Answer(samples=tuple(Sample(labels={"sign": name}, value=value) for name, value in values.items()))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (signs(newest=NOW - 15, earlier=NOW - 310), None),
        (signs(newest=NOW - 179, earlier=NOW - 310), None),
        (signs(newest=NOW - 181, earlier=NOW - 310), Unseen.STALE),
        (signs(newest=NOW + 2, earlier=NOW - 310), Unseen.FUTURE),
        (signs(newest=NOW - 15), Unseen.FRESH),
        (signs(earlier=NOW - 310), Unseen.EMPTY),
        (signs(newest=float("nan"), earlier=NOW - 310), Unseen.EMPTY),
        (signs(), Unseen.EMPTY),
        (Answer(problem=Unseen.TIMEOUT, detail="p:9090: did not answer in time"), Unseen.TIMEOUT),
    ],
)
def test_signs(answer: Answer, expected: Unseen | None) -> None:
    """A Prometheus that has begun anew, that scrapes no more, or that does not answer says nothing."""
    found = vital_signs.problem(answer, AT, 300)
    assert (found.problem if found is not None else None) == expected
    assert found is None or (found.samples == () and found.detail)
