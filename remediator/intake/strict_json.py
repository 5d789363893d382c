"""JSON read exactly: what Python's parser lets pass is found here, with its place.

Slower than the first reading of a body (``alertmanager.py`` says when each is used), but it can tell which part of a
body is bad, so that one poisoned alert does not spoil the others. Never recurses deeper than ``MAX_DEPTH``.
"""

from __future__ import annotations

import json
from typing import Any

from remediator.model.errors import SignalRejected

MAX_DEPTH = 32
"""How deep objects and arrays may nest; Alertmanager's body needs four."""

MAX_VALUES = 300_000
"""How many values one document may hold: ten times what fits a body of Alertmanager at its largest."""

_MAX_DIGITS = 40
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class Doubled(dict[str, Any]):
    """An object in which a key stands twice: nobody can know which value was meant. ``name`` is such a key."""

    name: str = ""


class Unusable:
    """A number that is none (NaN, Infinity) or that nobody should compute with (thousands of digits)."""

    def __init__(self, why: str) -> None:
        """Keep ``why``, to be read after "got"."""
        self.why = why

    def __repr__(self) -> str:
        """Return what stands in the quarantined text."""
        return f"<{self.why}>"


def decode(body: bytes) -> Any:
    r"""Return the document; objects with a key twice are ``Doubled``, impossible numbers ``Unusable``.

    Bytes that are no UTF-8 become lone surrogates, as ``\ud800`` escapes do: the field that holds them is to blame,
    not the body. Raises SignalRejected where the text is no JSON at all, or nests too deep.
    """
    if not body.strip():
        raise SignalRejected("$", "the body is empty; Alertmanager's version 4 JSON is expected")
    if body.startswith(_BYTE_ORDER_MARK):
        raise SignalRejected("$", "the body begins with a byte order mark; send plain UTF-8")
    too_deep = SignalRejected("$", f"nested deeper than {MAX_DEPTH} levels")
    outside = _outside_strings(body)
    if outside.count(b",") >= MAX_VALUES:
        raise SignalRejected("$", f"more than {MAX_VALUES} values")
    left = _brackets_left(outside)
    if left.count(b"[") + left.count(b"{") > MAX_DEPTH:
        raise too_deep
    document = _load(body.decode("utf-8", "surrogateescape"))
    if left:
        raise too_deep
    return document


def _outside_strings(body: bytes) -> bytes:
    """Return what stands outside the strings of the text."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    return b"".join(plain.split(b'"')[::2])


def _brackets_left(outside: bytes) -> bytes:
    """Return the brackets that remain when the innermost pairs have been taken away ``MAX_DEPTH`` times.

    Of well-formed JSON nothing remains unless it nests deeper. Where few remain, the text is cut off or malformed, or
    so little deeper that the parser, which recurses, can still be asked: it knows the place of the fault.
    """
    left = outside.translate(None, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        fewer = left.replace(b"[]", b"").replace(b"{}", b"")
        if len(fewer) == len(left):
            break
        left = fewer
    return left


def _load(text: str) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_integer, parse_float=_decimal
        )
    except json.JSONDecodeError as error:
        raise SignalRejected("$", f"not JSON: {error.msg} at line {error.lineno} column {error.colno}") from error


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    doubled = Doubled(plain)
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            doubled.name = name
        seen.add(name)
    return doubled


def _constant(name: str) -> Unusable:
    return Unusable(name)


def _integer(digits: str) -> int | Unusable:
    return int(digits) if len(digits) <= _MAX_DIGITS else Unusable(f"a number of {len(digits)} digits")


def _decimal(digits: str) -> float | Unusable:
    return float(digits) if len(digits) <= _MAX_DIGITS else Unusable(f"a number of {len(digits)} digits")
