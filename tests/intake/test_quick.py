"""The quick reading never takes what the exact one would not, and both mean the same."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.intake import quick
from remediator.intake.alert import FUTURE, PAST
from remediator.intake.alertmanager import parse
from tests.intake.bodies import NOW, ZERO, alert, body, compact, document

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TRICKY = st.sampled_from([":", '":', '\\":', '\\\\":', "\\", '"', " :", '"x":"y"', "u0000", "\\u0000", "{", "}"])
VALUE = st.one_of(TEXT, TRICKY, st.lists(TRICKY, max_size=4).map("".join))
LABELS = st.dictionaries(VALUE.filter(bool), VALUE, max_size=5).map(lambda labels: labels | {"alertname": "A"})
MOMENT = st.integers(-86_400, 3_000).map(lambda seconds: (NOW + timedelta(seconds=seconds)).isoformat())


@st.composite
def alerts(draw: st.DrawFn) -> dict[str, Any]:
    """One good alert with awkward texts."""
    status = draw(st.sampled_from(["firing", "resolved"]))
    return alert(
        status=status,
        labels=draw(LABELS),
        annotations=draw(st.dictionaries(VALUE, VALUE, max_size=3)),
        startsAt=draw(MOMENT),
        endsAt=ZERO if status == "firing" else draw(st.one_of(MOMENT, st.just(ZERO))),
        fingerprint=draw(st.integers(0, 2**64 - 1).map(lambda number: f"{number:016x}")),
    )


@given(st.lists(alerts(), max_size=4), st.dictionaries(TEXT, VALUE, max_size=2))
def test_both_readings_agree(some: list[dict[str, Any]], common: dict[str, str]) -> None:
    """White space sends a body to the exact reading; the meaning must not change."""
    whole = document(*some, commonLabels=common)
    compactly = parse(compact(whole), source="am", received_at=NOW)
    spaced = parse(json.dumps(whole, indent=1).encode(), source="am", received_at=NOW)
    assert quick.read(json.dumps(whole, indent=1).encode()) is None
    assert compactly == spaced
    assert compactly.quarantined == ()


# Where a key can be doubled, and what a sender could put elsewhere to make the counts meet again.
DOUBLES = ['"status":"firing"', '"version":"4"', '"pod":"x"', '"alertname":"x"', '"summary":"x"', '"routeLabels":{}']
BALANCE = ["", ' :"a"', '"a\\\\":', '\\":', '":', ":", '"', "\\", '\\\\":']


@given(
    st.sampled_from(DOUBLES),
    st.lists(st.sampled_from(BALANCE), max_size=3).map("".join),
    st.sampled_from(["labels", "annotations", "commonLabels"]),
    st.sampled_from(["", " "]),
)
def test_no_double_escapes_the_counting(double: str, ballast: str, where: str, gap: str) -> None:
    """Whatever else stands in the body: a body with a key twice is never read quickly."""
    one = alert()
    whole = document(one, routeLabels={})
    (one if where in one else whole)[where] = {"alertname": "A", "pod": "p", "summary": "s", ballast: ballast}
    text = compact(whole).decode()
    name = double.split(":", 1)[0]
    assert name in text
    position = text.index(name)
    doubled = text[:position] + double.replace(":", f"{gap}:", 1) + "," + text[position:]
    assert quick.read(doubled.encode()) is None


def test_white_space_before_a_colon_does_not_balance_a_double() -> None:
    """One key hidden from the count and one key twice: the counts would meet."""
    text = body(alert()).replace(b'"pod":', b'"pod" :').replace(b'"severity":', b'"severity":"x","severity":')
    for space in (b" ", b"\t", b"\n", b"\r"):
        assert quick.read(text.replace(b" :", space + b":")) is None


def test_an_escaped_backslash_does_not_balance_a_double() -> None:
    r"""``"a\\":`` looks like an escaped quote and is the end of a key."""
    text = body(alert(labels={"alertname": "A", "a\\": "x"})).replace(b'"alertname":"A"', b'"alertname":"A",' * 2, 1)
    text = text.replace(b'"A",,', b'"A",')
    assert quick.read(text) is None
    assert quick.read(body(alert(labels={"alertname": "A", "a\\": "x"}))) is not None


def test_nul_is_left_to_the_exact_reading() -> None:
    """The decoder takes NUL, PostgreSQL does not; an escaped backslash before ``u0000`` is plain text."""
    assert quick.read(body(alert(annotations={"a": "\0"}))) is None
    assert quick.read(body(alert(annotations={"a": "\\u0000"}))) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"alertname": ""}},
        {"labels": {"namespace": "x"}},
        {"fingerprint": "nothexnothexnoth"},
        {"startsAt": (NOW + FUTURE + timedelta(seconds=1)).isoformat()},
        {"startsAt": (NOW - PAST - timedelta(seconds=1)).isoformat()},
        {"startsAt": "2026-03-01T13:55:12+02:00"},
        {"status": "resolved", "endsAt": ZERO},
        {"status": "resolved", "endsAt": (NOW + timedelta(seconds=1)).isoformat()},
        {"status": "resolved", "endsAt": "2026-03-01T11:00:00Z"},
    ],
)
def test_what_needs_a_closer_look_gets_it(change: dict[str, Any]) -> None:
    """Each condition of the quick reading by itself."""
    text = body(alert(**change))
    whole = quick.read(text)
    assert whole is not None
    envelope_of = parse(body(alert()), source="am", received_at=NOW)
    assert len(envelope_of.signals) == 1
    delivery = parse(text, source="am", received_at=NOW)
    for signal in delivery.signals:
        assert signal.fingerprint != "nothexnothexnoth"
        assert signal.ends_at is None or signal.starts_at <= signal.ends_at <= NOW
        assert NOW - PAST <= signal.starts_at <= NOW + FUTURE
    assert len(delivery.signals) + len(delivery.quarantined) == 1
