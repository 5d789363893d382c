"""Whatever bytes come: a delivery or a rejection, never anything else, and never slow."""

from __future__ import annotations

import json
import random  # noqa: TID251 - seeded, the same in every run
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.intake.alertmanager import MAX_QUARANTINED, RAW_CHARS, parse
from remediator.intake.strict_json import decode
from remediator.model.errors import SignalRejected
from remediator.model.signal import Delivery
from tests.intake.bodies import NOW, alert, body, document

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
POISON = [
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"NaN",
    b"-Infinity",
    b"\\u0000",
    b"\\ud800",
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"1e999",
    b"9" * 5000,
    b'"x":"x",',
    b'"labels":{},',
    b"true",
    b"\x1b[2J",
    b" :",
    b"[" * 99,
]


def outcome(text: bytes) -> Delivery | None:
    """Return the delivery, None for a rejection; any other exception fails the test."""
    try:
        delivery = parse(text, source="am", received_at=NOW)
    except SignalRejected as error:
        rejected = error
    else:
        check_kept(delivery)
        return delivery
    assert rejected.path.startswith("$")
    rejected.message.encode()
    return None


def check_kept(delivery: Delivery) -> None:
    """Everything that goes on to the database can be stored there, and is bounded."""
    assert len(delivery.quarantined) <= MAX_QUARANTINED + 2
    for signal in delivery.signals:
        for label, value in signal.labels.items():
            assert "\0" not in label + value
            assert len(label) <= 1024
            assert len(value) <= 1024
            (label + value).encode()
    for bad in delivery.quarantined:
        (bad.path + bad.reason + bad.raw).encode()
        assert len(bad.raw) <= RAW_CHARS


@given(st.binary(max_size=300))
def test_arbitrary_bytes(text: bytes) -> None:
    """Bytes of no shape at all."""
    outcome(text)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(sorted(document())), JSON), st.lists(JSON, max_size=3))
def test_wrong_types_everywhere(changes: dict[str, object], alerts: list[object]) -> None:
    """Any JSON value in any place of the document."""
    outcome(json.dumps(document(*alerts) | changes).encode())


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(sorted(alert())), JSON))
def test_wrong_types_in_an_alert_cost_that_alert_at_most(changes: dict[str, object]) -> None:
    """The good neighbour is always taken."""
    good = alert(labels={"alertname": "Good"}, fingerprint="00000000000000aa")
    delivery = outcome(body(good, {**alert(), **changes}))
    assert delivery is not None
    assert any(signal.labels == {"alertname": "Good"} for signal in delivery.signals)


def test_twenty_thousand_mutated_bodies() -> None:
    """Good bodies with bytes cut, doubled, changed and poisoned (seeded: the same every time)."""
    chance = random.Random(20260301)
    seeds = [body(alert()), body(alert(), alert(status="resolved")), json.dumps(document(alert()), indent=1).encode()]
    taken = 0
    for _ in range(20_000):
        text = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(text))
            match chance.randrange(4):
                case 0:
                    del text[place : place + chance.randint(1, 40)]
                case 1:
                    text[place:place] = chance.choice(POISON)
                case 2:
                    text[place] = chance.randrange(256)
                case _:
                    text[place:place] = text[place : place + chance.randint(1, 60)]
        taken += outcome(bytes(text)) is not None
    assert 1_000 < taken < 19_000


def test_hostile_bodies_are_not_slow() -> None:
    """Five mebibytes of the worst kinds, each within five seconds on a slow machine."""
    size = 5 * 2**20
    for unit in (b"[", b"[],", b'"\\"', b'"\\', b'{"a":', b"\\", b"0", b'"":', b" :", b'{"":1},', b"\xff"):
        text = b'{"version":"4","alerts":[' + unit * (size // len(unit)) + b"0]}"
        begun = time.monotonic()
        outcome(text)
        assert time.monotonic() - begun < 5, unit


def test_brackets_in_strings_do_not_count_as_depth() -> None:
    """Log lines full of brackets are data."""
    assert decode(json.dumps({"a": "[" * 1000 + '\\"' * 3 + "{" * 1000, "b": [["]]]]"]]}).encode())["b"] == [["]]]]"]]
