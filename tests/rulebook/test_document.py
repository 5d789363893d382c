"""YAML without its traps, and the place of everything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.rulebook.document import MOST_VALUES, Document, read_document
from remediator.rulebook.faults import Place
from remediator.rulebook.sources import LARGEST_FILE


def read(text: str | bytes) -> Document:
    """Return the document of a text without faults."""
    document, faults = read_document(text if isinstance(text, bytes) else text.encode(), "f.yaml")
    assert faults == ()
    assert document is not None
    return document


def fault(text: str | bytes) -> str:
    """Return the only fault of a text that cannot be read."""
    document, faults = read_document(text if isinstance(text, bytes) else text.encode(), "f.yaml")
    assert document is None
    [only] = faults
    return str(only)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("42", 42),
        ("-7", -7),
        ("0", 0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("12345678901234567890", 12345678901234567890.0),
        ("9" * 5000, "9" * 5000),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("'42'", "42"),
        ('"true"', "true"),
        ("|\n  text\n", "text\n"),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    """Plain scalars mean what people mean; quoted ones are texts."""
    found = read(f"a: {text}\n").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_places() -> None:
    """Every value and every key knows its line and column, counted from 1."""
    document = read("a:\n  - b: 1\n    c: [2, 3]\n")
    assert document.place(("a", 0, "b")) == Place("f.yaml", 2, 8)
    assert document.key(("a", 0, "c")) == Place("f.yaml", 3, 5)
    assert document.place(("a", 0, "c", 1)) == Place("f.yaml", 3, 12)
    assert document.place(("a", 0, "nowhere", 7)) == Place("f.yaml", 2, 5)
    assert document.key(("nowhere",)) == Place("f.yaml", 1, 1)


def test_keys_are_texts() -> None:
    """A key is what is written, also where a value would be something else."""
    assert read("true: 1\n503: 2\nnull: 3\nyes: 4\n1e3: 5\n").data == {
        "true": 1,
        "503": 2,
        "null": 3,
        "yes": 4,
        "1e3": 5,
    }


def test_byte_order_mark() -> None:
    """Editors of some systems write one; it means nothing."""
    assert read(b"\xef\xbb\xbfa: 1\n").data == {"a": 1}


def test_aliases_repeat_values() -> None:
    """An alias is the value that it names, scalar or mapping."""
    assert read("a: &x {b: &y 1}\nc: *x\nd: *y\n").data == {"a": {"b": 1}, "c": {"b": 1}, "d": 1}


def test_alias_bomb() -> None:
    """A kilobyte that would become a billion values is refused, quickly."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "the aliases of this file multiply into too much" in fault("\n".join(lines))
    assert MOST_VALUES < 10**6


def test_aliases_cannot_make_it_deep() -> None:
    """Each level by an alias of the one before: flat as a text, deep as data."""
    lines = ["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 40))]
    assert "multiply into too much" in fault("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [*b]", "f.yaml:1:5: nothing above is called &b"),
        ("a: &b [*b]", "f.yaml:1:8: *b contains itself"),
        ("a: &b {c: {d: *b}}", "f.yaml:1:15: *b contains itself"),
        ("", "f.yaml: the file is empty"),
        ("# only a comment", "f.yaml: the file is empty"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document starts here"),
        ("a:\n\t- b\n", "f.yaml:2:1: a tab is used for indentation"),
        ("a: 1\n\tb: 2\n", "f.yaml:2:1: a tab is used for indentation"),
        ("a: [1", "f.yaml:2:1: this is not YAML"),
        ("a: b: c", "f.yaml:1:5: this is not YAML"),
        ("a: 'b", "f.yaml:1:6: this is not YAML"),
        ("a: 1\nb: \x00", "f.yaml:2:4: U+0000 is not allowed"),
        ("é: \x1b", "f.yaml:1:4: U+001B is not allowed"),
        ("a: 1\nb: x\x85y", "f.yaml:2:5: U+0085 ends a line for some readers only; remove it"),
        ("a: \u2028", "f.yaml:1:4: U+2028 ends a line"),
        (b"a: 1\nb: \xff", "f.yaml:2:4: this is not UTF-8"),
        ("é: ".encode() + b"\xff", "f.yaml:1:4: this is not UTF-8"),
        ("a: 1".encode("utf-16"), "f.yaml:1:1: this is not UTF-8"),
        (b"\xed\xa0\x80", "f.yaml:1:1: this is not UTF-8"),
        (b"#" * (LARGEST_FILE + 1), "f.yaml: the file is larger than 1 MiB"),
        ("[" * 100_000, "this is nested more than 16 deep"),
        ("{a: " * 100_000, "this is nested more than 16 deep"),
        ("- " * 100_000, "this is nested more than 16 deep"),
    ],
)
def test_what_cannot_be_read(text: str | bytes, expected: str) -> None:
    """Each has one fault, with its place, and what to do."""
    assert expected in fault(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", "f.yaml:2:1: 'a' is here twice, first on line 1; remove one"),
        ("a: {b: 1, b: 2}", "f.yaml:1:11: 'b' is here twice, first on line 1; remove one"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "f.yaml:3:3: merge keys ('<<') are not understood; write the fields out"),
        ("[a]: 1", "f.yaml:1:1: a key must be a plain word; put quotes round a text with brackets"),
        ("a: 010", "f.yaml:1:4: 010 could mean an octal number; write it without the leading zero, or in quotes"),
        ("a: -07", "f.yaml:1:4: -07 could mean an octal number; write it without the leading zero, or in quotes"),
        ("a: !!str 1", "f.yaml:1:4: the tag '!!str' is not understood; remove it"),
        ("a: !mine [1]", "f.yaml:1:4: the tag '!mine' is not understood; remove it"),
    ],
)
def test_what_is_read_with_a_fault(text: str, expected: str) -> None:
    """The rest of the file can still be checked."""
    document, faults = read_document(text.encode(), "f.yaml")
    assert document is not None
    assert [str(item) for item in faults] == [expected]


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(_PLAIN)
def test_what_is_written_is_read(data: Any) -> None:
    """JSON is YAML: whatever is written as JSON is read as it was, or refused; never misread."""
    document, faults = read_document(json.dumps(data, ensure_ascii=False).encode(), "f.yaml")
    if document is not None and not faults:
        assert document.data == data


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet="ab:-[]{},&*!|>'\"#\n\t ?%@`", max_size=40).map(str.encode))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    """Any bytes give a document or a fault, never an exception."""
    document, faults = read_document(raw, "f.yaml")
    assert document is not None or faults
