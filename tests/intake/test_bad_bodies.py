"""Bad input: garbage is rejected with its place, a bad alert in a good body is quarantined alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from remediator.intake.alertmanager import RAW_CHARS, parse
from remediator.model.errors import SignalRejected
from remediator.model.signal import Delivery, Quarantined
from tests.intake.bodies import NOW, alert, body, compact, document

GOOD = alert(labels={"alertname": "Good"}, fingerprint="00000000000000aa")


def read(text: bytes) -> Delivery:
    """Parse as the web layer does."""
    return parse(text, source="am", received_at=NOW)


def only_bad(text: bytes) -> Quarantined:
    """Return the one quarantined alert of a body whose other alert is good and taken."""
    delivery = read(text)
    assert [signal.labels["alertname"] for signal in delivery.signals] == ["Good"]
    (bad,) = delivery.quarantined
    return bad


def in_second(old: str, new: str) -> bytes:
    """Return a body of two alerts in the second of which ``old`` was replaced by ``new``."""
    head, tail = compact(document(GOOD, alert())).decode().split('},{"status"', 1)
    assert old in tail
    return (head + '},{"status"' + tail.replace(old, new, 1)).encode()


GARBAGE: list[tuple[str, bytes, str, str]] = [
    ("empty", b"", "$", "empty"),
    ("blank", b" \n ", "$", "empty"),
    ("text", b"hello", "$", "not JSON"),
    ("cut off", body(alert())[:-7], "$", "not JSON"),
    ("two documents", body(alert()) * 2, "$", "Extra data"),
    ("trailing comma", body(alert())[:-1] + b",}", "$", "not JSON"),
    ("single quotes", body(alert()).replace(b'"', b"'"), "$", "not JSON"),
    ("raw line break in a string", body(alert()).replace(b"crash", b"cr\nash"), "$", "control character"),
    ("byte order mark", b"\xef\xbb\xbf" + body(alert()), "$", "byte order mark"),
    ("UTF-16", body(alert()).decode().encode("utf-16"), "$", "not JSON"),
    ("gzip", b"\x1f\x8b\x08\x00\x00", "$", "not JSON"),
    ("depth 100,000", b"[" * 100_000, "$", "deeper than 32"),
    ("depth 100,000 closed", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "$", "deeper than 32"),
    ("depth in an unknown key", body(alert(), x=json.loads("[" * 40 + "]" * 40)), "$", "deeper than 32"),
    ("depth 40 and cut off", b"[" * 40, "$", "deeper than 32"),
    ("depth 5 and cut off", b"[" * 5, "$", "not JSON"),
    ("a million values", b"[" + b"0," * 10**6 + b"0]", "$", "more than 300000 values"),
    ("an array", b"[]", "$", "expected an object, got an array"),
    ("a string", b'"x"', "$", "expected an object, got a string"),
    ("null", b"null", "$", "expected an object, got null"),
    ("true", b"true", "$", "expected an object, got a boolean"),
    ("a number", b"1.5", "$", "expected an object, got a number"),
    ("NaN", b"NaN", "$", "expected an object, got NaN"),
    ("5,000 digits", b"1" * 5000, "$", "got a number of 5000 digits"),
    ("nothing in it", b"{}", "$.version", "got nothing"),
    ("version 3", body(alert(), version="3"), "$.version", 'got "3"'),
    ("version as number", body(alert(), version=4), "$.version", "got a number"),
    ("no alerts", body(alerts=None), "$.alerts", "got nothing"),
    ("alerts null", compact(document() | {"alerts": None}), "$.alerts", "got null"),
    ("alerts object", body(alerts={}), "$.alerts", "got an object"),
    ("alerts text", body(alerts="x"), "$.alerts", "got a string"),
    ("group key", body(alert(), groupKey=[]), "$.groupKey", "got an array"),
    ("receiver", body(alert(), receiver=1), "$.receiver", "got a number"),
    ("truncated text", body(alert(), truncatedAlerts="1"), "$.truncatedAlerts", "got a string"),
    ("truncated boolean", body(alert(), truncatedAlerts=True), "$.truncatedAlerts", "got a boolean"),
    ("truncated negative", body(alert(), truncatedAlerts=-1), "$.truncatedAlerts", "got -1"),
    ("truncated huge", body(alert(), truncatedAlerts=10**30), "$.truncatedAlerts", "got 1000"),
    ("truncated 5,000 digits", body(truncatedAlerts=0).replace(b":0}", b":" + b"1" * 5000 + b"}"), "$.trunc", "digits"),
    ("truncated infinite", body(truncatedAlerts=0).replace(b":0}", b":Infinity}"), "$.truncatedAlerts", "Infinity"),
    ("a key twice", body(alert())[:-1] + b',"alerts":[]}', '$["alerts"]', "twice"),
    ("a key twice, escaped", body(alert())[:-1] + b',"\\u0061lerts":[]}', '$["alerts"]', "twice"),
    ("a key twice, spaced", body(alert())[:-1] + b',"alerts" :[]}', '$["alerts"]', "twice"),
]


@pytest.mark.parametrize(("text", "path", "words"), [pytest.param(*case[1:], id=case[0]) for case in GARBAGE])
def test_garbage_is_rejected_with_its_place(text: bytes, path: str, words: str) -> None:
    """Nothing of it can be used: one error that says where and what."""
    with pytest.raises(SignalRejected) as caught:
        read(text)
    assert caught.value.path.startswith(path)
    assert words in caught.value.message


LABELS = GOOD["labels"]
BAD: list[tuple[str, Any, str, str]] = [
    ("null", None, "", "expected an object, got null"),
    ("text", "x", "", "expected an object, got a string"),
    ("number", 7, "", "expected an object, got a number"),
    ("array", [], "", "expected an object, got an array"),
    ("empty", {}, ".status", "got null"),
    ("status missing", alert(status=None), ".status", "got null"),
    ("status odd", alert(status="FIRING"), ".status", '"FIRING"'),
    ("status array", alert(status=["firing"]), ".status", "got an array"),
    ("labels missing", alert(labels=None), ".labels", "got null"),
    ("labels array", alert(labels=[]), ".labels", "got an array"),
    ("labels empty", alert(labels={}), '.labels["alertname"]', "missing"),
    ("no alertname", alert(labels={"namespace": "x"}), '.labels["alertname"]', "missing"),
    ("empty alertname", alert(labels={"alertname": ""}), '.labels["alertname"]', "missing"),
    ("label number", alert(labels=LABELS | {"n": 1}), '.labels["n"]', "got a number"),
    ("label null", alert(labels=LABELS | {"n": None}), '.labels["n"]', "got null"),
    ("label object", alert(labels=LABELS | {"n": {}}), '.labels["n"]', "got an object"),
    ("label boolean", alert(labels=LABELS | {"n": True}), '.labels["n"]', "got a boolean"),
    ("label without a name", alert(labels=LABELS | {"": "x"}), '.labels[""]', "needs a name"),
    ("64 KiB label", alert(labels=LABELS | {"x": "y" * 65536}), '.labels["x"]', "65536 characters"),
    ("64 KiB name", alert(labels=LABELS | {"x" * 65536: "y"}), f'.labels["{"x" * 60}"]', "65536 characters"),
    ("1,000 labels", alert(labels=LABELS | {f"l{n}": "" for n in range(1000)}), ".labels", "1001 labels"),
    ("NUL in a label", alert(labels=LABELS | {"x": "a\0b"}), '.labels["x"]', "NUL"),
    ("NUL in a name", alert(labels=LABELS | {"x\0": "a"}), '.labels["x\\u0000"]', "NUL"),
    ("lone surrogate", alert(labels=LABELS | {"x": "\ud800"}), '.labels["x"]', "not Unicode"),
    ("annotations array", alert(annotations=[]), ".annotations", "got an array"),
    ("annotation number", alert(annotations={"a": 1}), '.annotations["a"]', "got a number"),
    ("link number", alert(generatorURL=1), ".generatorURL", "got a number"),
    ("no start", alert(startsAt=None), ".startsAt", "missing"),
    ("start zero", alert(startsAt="0001-01-01T00:00:00Z"), ".startsAt", "missing"),
    ("start number", alert(startsAt=1772366112), ".startsAt", "got a number"),
    ("start words", alert(startsAt="yesterday"), ".startsAt", '"yesterday"'),
    ("start surrogate", alert(startsAt="\ud800"), ".startsAt", "RFC 3339"),
    ("start without zone", alert(startsAt="2026-03-01T11:55:12"), ".startsAt", "no zone"),
    ("start in 1970", alert(startsAt="1970-01-01T00:00:00Z"), ".startsAt", "days back"),
    ("start in 9999", alert(startsAt="9999-12-31T23:59:59-02:00"), ".startsAt", "RFC 3339"),
    ("start tomorrow", alert(startsAt="2026-03-02T12:00:00Z"), ".startsAt", "ahead of our clock"),
    ("end tomorrow", alert(status="resolved", endsAt="2026-03-02T12:00:00Z"), ".endsAt", "ahead of our clock"),
    ("end words", alert(status="resolved", endsAt="soon"), ".endsAt", '"soon"'),
]


@pytest.mark.parametrize(("bad", "path", "words"), [pytest.param(*case[1:], id=case[0]) for case in BAD])
def test_one_bad_alert_is_quarantined_alone(bad: Any, path: str, words: str) -> None:
    """The good one is taken; the bad one is kept with its place and the reason."""
    for index, alerts in enumerate(((bad, GOOD), (GOOD, bad))):
        found = only_bad(body(*alerts))
        assert found.path == f"$.alerts[{index}]{path}"
        assert words in found.reason
        assert 0 < len(found.raw) <= RAW_CHARS


@pytest.mark.parametrize(
    ("old", "new", "path", "words"),
    [
        ('"namespace":"backstage","pod"', '"namespace":"a","namespace":"b","pod"', '.labels["namespace"]', "twice"),
        ('"namespace":"backstage","pod"', '"namespace":NaN,"pod"', '.labels["namespace"]', "got NaN"),
        ('"namespace":"backstage","pod"', '"namespace":-Infinity,"pod"', '.labels["namespace"]', "got -Infinity"),
        ('"namespace":"backstage","pod"', f'"namespace":{"9" * 5000},"pod"', '.labels["namespace"]', "5000 digits"),
        ('"namespace":"backstage","pod"', f'"namespace":0.{"9" * 5000},"pod"', '.labels["namespace"]', "digits"),
        ('"namespace":"backstage","pod"', '"namespace":1e400,"pod"', '.labels["namespace"]', "got a number"),
        ('"summary":', '"summary":"a","summary":', '.annotations["summary"]', "twice"),
        ('"labels":{', '"labels":{},"labels":{', '["labels"]', "twice"),
        ('"labels":{', '"status":"resolved","labels":{', '["status"]', "twice"),
    ],
)
def test_poison_inside_an_alert(old: str, new: str, path: str, words: str) -> None:
    """What the JSON parser of Python lets through is found where it stands."""
    found = only_bad(in_second(old, new))
    assert found.path == f"$.alerts[1]{path}"
    assert words in found.reason


def test_bytes_that_are_no_text_spoil_one_alert() -> None:
    """Invalid UTF-8 in one label does not cost the others."""
    for poison in (b"\xff", b"\xed\xa0\x80", b"\xc0\x80"):
        found = only_bad(body(GOOD, alert()).replace(b"backstage-7d9c", b"back" + poison))
        assert found.path == '$.alerts[1].labels["pod"]'


def test_poison_in_what_is_not_read_is_tolerated() -> None:
    """Unknown keys are not looked at, so they cannot be bad."""
    text = body(GOOD, alert())[:-1] + b',"x":{"a":1,"a":NaN,"b":"\\ud800"}}'
    assert len(read(text).signals) == 2


def test_the_raw_text_keeps_no_secret() -> None:
    """Quarantine is read by people and kept: passwords do not go there, control characters are spelt."""
    secret = alert(
        status="odd",
        generatorURL="https://user:hunter2@prometheus/graph",
        annotations={"d": 'password="correct horse" \x1b[31m', "h": "Authorization: Bearer abcdefghijkl"},
    )
    raw = only_bad(body(GOOD, secret)).raw
    for word in ("hunter2", "correct horse", "abcdefghijkl", "\x1b"):
        assert word not in raw
    assert "prometheus/graph" in raw
