"""Alertmanager's matcher syntax, as its configuration takes it: ``alertname=~"A|B"``, also several in braces."""

from __future__ import annotations

import re
from dataclasses import dataclass

from remediator.core.match import check_of
from remediator.core.regex import BadRegex
from remediator.model.rule import Matcher, MatchOp

MOST = 32
"""Matchers of one rule."""
LONGEST_SHOWN = 60
"""Characters of an entry in a message."""
LONGEST = 4096
"""Characters of one entry."""

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_OPERATOR = re.compile(r"=~|!~|!=|==?")
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_BARE = re.compile(r"[^\s{}!=~,\\\"'`]+")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


class BadMatcher(ValueError):
    """A matcher that cannot be read; the message says what is wrong, where in the text, and what to do."""


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Return the matchers of one entry; raise BadMatcher. There is at least one."""
    if len(text) > LONGEST:
        raise BadMatcher(f"a matcher of {len(text)} characters is too long; at most {LONGEST} are allowed")
    return _Reader(text).read()


@dataclass(slots=True)
class _Reader:
    """Reads an entry from left to right."""

    text: str
    at: int = 0

    def read(self) -> tuple[Matcher, ...]:
        """Read all of it."""
        braces = self._take(re.compile("{")) is not None
        found = [self._matcher()]
        while self._take(re.compile(",")) is not None:
            if self._rest() in {"", "}"}:
                break
            found.append(self._matcher())
        if braces and self._take(re.compile("}")) is None:
            raise self._bad("'}' is missing; close the braces")
        if self._rest():
            raise self._bad(f"{self._rest()[:20]!r} is left over; {_quoting_hint(self._rest())}")
        return tuple(found)

    def _matcher(self) -> Matcher:
        label = self._label()
        operator = self._take(_OPERATOR)
        if operator is None:
            raise self._bad("an operator is missing here; write one of =, !=, =~, !~")
        if operator[0] == "==":
            raise self._bad("'==' is not an operator; write '='")
        matcher = Matcher(label=label, op=MatchOp(operator[0]), value=self._value())
        try:
            check_of(matcher)
        except BadRegex as error:
            raise BadMatcher(f"{_shown(str(matcher))}: {error}") from error
        return matcher

    def _label(self) -> str:
        quoted = self._take(_QUOTED)
        if quoted is not None and quoted[1]:
            return self._unescaped(quoted[1])
        name = self._take(_NAME)
        if name is None:
            raise self._bad('a label name is missing here; write a matcher like alertname="KubePodNotReady"')
        return name[0]

    def _value(self) -> str:
        quoted = self._take(_QUOTED)
        if quoted is not None:
            return self._unescaped(quoted[1])
        bare = self._take(_BARE)
        if bare is None:
            hint = (
                "close the double quote" if self._rest().startswith('"') else 'write it in double quotes, "" if empty'
            )
            raise self._bad(f"a value is missing here; {hint}")
        return bare[0]

    def _unescaped(self, text: str) -> str:
        # As in Alertmanager, a backslash before anything else stays: regular expressions are full of them.
        return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[0]), text)

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self._skip()
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def _rest(self) -> str:
        self._skip()
        return self.text[self.at :]

    def _skip(self) -> None:
        space = _SPACE.match(self.text, self.at)
        self.at = space.end() if space else self.at

    def _bad(self, message: str) -> BadMatcher:
        return BadMatcher(f"{_shown(self.text)!r}, character {self.at + 1}: {message}")


def _shown(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def _quoting_hint(rest: str) -> str:
    if rest.startswith("{"):
        return "braces belong round all matchers"
    return "write values with other characters in double quotes, and ',' between matchers"
