"""Regular expressions as Alertmanager has them: RE2's syntax, anchored at both ends, in time linear in the text.

Rule files are written by people and labels come from outside, so an expression that backtracks could stop the whole
daemon. RE2 cannot, and it is the dialect that Prometheus and Alertmanager speak (Go's ``regexp`` is the same family).
"""

from __future__ import annotations

import string
from collections.abc import Callable

import re2  # type: ignore[import-untyped]  # it ships no types; this module is its only home

LONGEST = 2048
"""Characters of an expression."""
LARGEST_PROGRAM = 5000
"""Instructions of the compiled expression: what a text costs at most, times its length."""
MOST_WORDS = 256
"""Up to how many words an expression is written out for the index."""

Check = Callable[[str], bool]

_PLAIN = frozenset(string.ascii_letters + string.digits + " _-:/=,;@%&!~<>#'\"`")
_ESCAPED = frozenset(r"\.+*?()|[]{}^$-/:_ ") - frozenset("_")


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    return options


_OPTIONS = _options()


class BadRegex(ValueError):
    """An expression that cannot be used; the message says why and what to do."""


def compile_anchored(pattern: str) -> Check:
    """Return the check whether a whole text matches ``pattern``; raise BadRegex."""
    if len(pattern) > LONGEST:
        raise BadRegex(f"the regular expression is {len(pattern)} characters long; at most {LONGEST} are allowed")
    try:
        compiled = re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        raise BadRegex(_reason(error)) from error
    if compiled.programsize > LARGEST_PROGRAM:
        raise BadRegex("the regular expression is too large once its repetitions are written out; make them smaller")
    match = compiled.fullmatch

    def check(text: str) -> bool:
        # Bytes spare the library the mapping of offsets back to characters, which nobody asks for.
        return match(text.encode("utf-8", "surrogatepass")) is not None

    return check


def searcher(pattern: str) -> Callable[[bytes], bool]:
    """Return the check whether ``pattern``, one of our own, is found anywhere in a text: one pass, whatever it is."""
    search = re2.compile(pattern.encode(), _OPTIONS).search

    def check(text: bytes) -> bool:
        return search(text) is not None

    return check


def words(pattern: str) -> frozenset[str] | None:
    """Return every text that matches, if those are at most ``MOST_WORDS`` and easy to see; otherwise None.

    Understands plain characters, escaped punctuation, ``|`` and groups: what people write as a list of names.
    """
    reader = _Words(pattern)
    try:
        found = reader.alternatives()
    except _NotPlain:
        return None
    return found if reader.at == len(pattern) else None


class _NotPlain(Exception):
    """The expression is more than a list of words."""


class _Words:
    """Reads an expression from left to right and multiplies it out."""

    def __init__(self, pattern: str) -> None:
        """Start at the first character."""
        self.pattern = pattern
        self.at = 0

    def alternatives(self) -> frozenset[str]:
        """Read ``a|b|c`` up to a closing parenthesis or the end."""
        found = self._sequence()
        while self._next() == "|":
            self.at += 1
            found = _bounded(found | self._sequence())
        return found

    def _sequence(self) -> frozenset[str]:
        found = frozenset({""})
        while self._next() not in {"", "|", ")"}:
            part = self._part()
            if len(found) * len(part) > MOST_WORDS:
                raise _NotPlain
            found = frozenset(left + right for left in found for right in part)
        return found

    def _part(self) -> frozenset[str]:
        char = self._next()
        self.at += 1
        if char == "(":
            return self._group()
        if char == "\\":
            char = self._next()
            self.at += 1
            if char not in _ESCAPED:
                raise _NotPlain
        elif char not in _PLAIN:
            raise _NotPlain
        return frozenset({char})

    def _group(self) -> frozenset[str]:
        if self._next() == "?":
            if not self.pattern.startswith("?:", self.at):
                raise _NotPlain
            self.at += 2
        found = self.alternatives()
        if self._next() != ")":
            raise _NotPlain
        self.at += 1
        return found

    def _next(self) -> str:
        return self.pattern[self.at : self.at + 1]


def _bounded(found: frozenset[str]) -> frozenset[str]:
    if len(found) > MOST_WORDS:
        raise _NotPlain
    return found


def _reason(error: Exception) -> str:
    """Return RE2's complaint with what to do about the ones that people run into."""
    raw = error.args[0] if error.args else ""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    hint = "correct the regular expression"
    if "perl operator" in text:
        hint = "Alertmanager's expressions know no look-ahead or look-behind; use a second matcher with '!~' instead"
    elif "invalid escape" in text:
        hint = "write a backslash before punctuation only; there are no back references"
    elif "repetition" in text or "too large" in text:
        hint = "repeat at most 1000 times in all"
    return f"bad regular expression ({text}): {hint}"
