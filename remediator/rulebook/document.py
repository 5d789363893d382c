"""YAML to plain data, with the place of everything and without YAML's traps. The only module that knows YAML.

What is read is the part of YAML 1.2 that people mean: ``yes`` and ``1:30`` are texts, ``010`` is refused, keys are
texts and appear once, there are no tags, no merge keys and one document a file. Aliases may repeat a value, within
a bound on the size of the result. The parser's events are followed without recursion: depth cannot hurt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from remediator.rulebook.faults import Fault, Place
from remediator.rulebook.sources import LARGEST_FILE

STANDARD_TAGS = "tag:yaml.org,2002:"
LONGEST_NUMBER = 64
"""Characters; what is longer is a text."""
DEEPEST = 16
"""Levels of nesting."""
MOST_VALUES = 200_000
"""Values in a document after its aliases are put in."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """``data`` is plain: dict, list, str, int, float, bool, None. ``places`` and ``keys`` are looked up by path."""

    file: str
    data: Any
    places: dict[Path, Place]
    keys: dict[Path, Place]

    def place(self, path: Path) -> Place:
        """Return where the value is; for one that is not there, where its nearest parent is."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path, Place(self.file))

    def key(self, path: Path) -> Place:
        """Return where the key of the value is, or the value itself where it has none."""
        return self.keys.get(path) or self.place(path)


@dataclass(slots=True, kw_only=True)
class _Node:
    """A value under construction. ``items`` holds what a list or mapping contains, in turn key and value.

    ``text`` is a scalar as it was written: what counts where it is a key.
    """

    place: Place
    scalar: Any = None
    text: str = ""
    items: list[_Node] = field(default_factory=list)
    shape: str = "scalar"


class _Stop(Exception):
    """Nothing after this can be read."""

    def __init__(self, place: Place, message: str) -> None:
        """Keep the fault."""
        super().__init__(message)
        self.fault = Fault(place, message)


def read_document(raw: bytes, file: str) -> tuple[Document | None, tuple[Fault, ...]]:
    """Return the document of a file, or None where it cannot be read at all, and what is wrong with it.

    A document may come with faults (a duplicate key): it is there so that its other faults can be found too.
    """
    try:
        text = _text(raw, file)
        reader = _Reader(file)
        root = reader.read(text)
        builder = _Builder(file)
        data = builder.build(root, ())
    except _Stop as stop:
        return None, (stop.fault,)
    faults = (*reader.faults, *builder.faults)
    return Document(file=file, data=data, places=builder.places, keys=builder.keys), faults


def _text(raw: bytes, file: str) -> str:
    if len(raw) > LARGEST_FILE:
        raise _Stop(Place(file), "the file is larger than 1 MiB, and no more is read; split it by family")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        raise _Stop(Place(file, line, column), "this is not UTF-8; save the file as UTF-8") from error
    odd = _ODD_BREAKS.search(text)
    if odd is not None:
        code = f"U+{ord(odd[0]):04X}"
        raise _Stop(_place_at(text, odd.start(), file), f"{code} ends a line for some readers only; remove it")
    return text


def _place_at(text: str, at: int, file: str) -> Place:
    before = text[:at]
    return Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))


class _Reader:
    """Follows the parser's events and puts nodes together, with a stack of its own."""

    def __init__(self, file: str) -> None:
        """Start with nothing read."""
        self.file = file
        self.faults: list[Fault] = []
        self._open: list[_Node] = []
        self._anchors: dict[str, _Node] = {}
        self._root: _Node | None = None
        self._documents = 0

    def read(self, text: str) -> _Node:
        """Return the root of the one document; raise _Stop."""
        for event in self._events(text):
            self._follow(event, Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1))
        if self._root is None:
            raise _Stop(
                Place(self.file), "the file is empty; write 'rules:', 'thresholds:' or 'freezes:', or remove it"
            )
        return self._root

    def _follow(self, event: Any, place: Place) -> None:
        """Take one event; the ends of the stream and of a document say nothing new."""
        match event:
            case yaml.DocumentStartEvent():
                self._document(place)
            case yaml.AliasEvent():
                self._add(self._aliased(event, place))
            case yaml.ScalarEvent():
                self._start(event, _Node(place=place, scalar=self._scalar(event, place), text=event.value))
            case yaml.SequenceStartEvent():
                self._start(event, _Node(place=place, shape="list"), is_open=True)
            case yaml.MappingStartEvent():
                self._start(event, _Node(place=place, shape="mapping"), is_open=True)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._open.pop()

    def _events(self, text: str) -> Iterator[Any]:
        try:
            yield from yaml.parse(text, Loader=yaml.CSafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            raise _Stop(Place(self.file, line, column), _syntax(error, text, line)) from error
        except yaml.reader.ReaderError as error:
            # The text was decoded before, so the character is always a number.
            place = _place_at(text, text.find(chr(int(error.character))), self.file)
            message = f"U+{int(error.character):04X} is not allowed in YAML; remove the control character"
            raise _Stop(place, message) from error

    def _document(self, place: Place) -> None:
        self._documents += 1
        if self._documents > 1:
            raise _Stop(place, "a second document starts here; one file is one document, remove '---' or split it")

    def _start(self, event: Any, node: _Node, *, is_open: bool = False) -> None:
        if event.tag is not None:
            self.faults.append(
                Fault(node.place, f"the tag '{event.tag.replace(STANDARD_TAGS, '!!')}' is not understood; remove it")
            )
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._add(node)
        if is_open:
            self._open.append(node)
            if len(self._open) > DEEPEST:
                raise _Stop(node.place, f"this is nested more than {DEEPEST} deep; no rule needs that, flatten it")

    def _aliased(self, event: Any, place: Place) -> _Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise _Stop(place, f"nothing above is called &{event.anchor}; write the value out")
        if any(node is above for above in self._open):
            raise _Stop(place, f"*{event.anchor} contains itself; write the value out")
        return node

    def _add(self, node: _Node) -> None:
        if self._open:
            self._open[-1].items.append(node)
        else:
            self._root = node

    def _scalar(self, event: Any, place: Place) -> Any:
        if event.style or event.tag is not None:
            return event.value
        value, fault = _plain(event.value)
        if fault:
            self.faults.append(Fault(place, fault))
        return value


class _Builder:
    """Turns nodes into plain data; notes where each value is, and what is wrong with the keys."""

    def __init__(self, file: str) -> None:
        """Start with nothing built."""
        self.file = file
        self.faults: list[Fault] = []
        self.places: dict[Path, Place] = {}
        self.keys: dict[Path, Place] = {}

    def build(self, node: _Node, path: Path) -> Any:
        """Return the data of a node. Aliases can make it deeper and larger than the text, so both are bounded again."""
        if len(self.places) >= MOST_VALUES or len(path) > DEEPEST:
            raise _Stop(node.place, "the aliases of this file multiply into too much; write the values out")
        self.places[path] = node.place
        if node.shape == "list":
            return [self.build(item, (*path, number)) for number, item in enumerate(node.items)]
        if node.shape == "mapping":
            return self._mapping(node, path)
        return node.scalar

    def _mapping(self, node: _Node, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in zip(node.items[::2], node.items[1::2], strict=True):
            name = self._name(key)
            if name is None:
                continue
            if name in found:
                first = self.keys[*path, name]
                self.faults.append(Fault(key.place, f"'{name}' is here twice, first on line {first.line}; remove one"))
                continue
            self.keys[*path, name] = key.place
            found[name] = self.build(value, (*path, name))
        return found

    def _name(self, key: _Node) -> str | None:
        if key.shape != "scalar":
            self.faults.append(Fault(key.place, "a key must be a plain word; put quotes round a text with brackets"))
            return None
        if key.text == "<<":
            self.faults.append(Fault(key.place, "merge keys ('<<') are not understood; write the fields out"))
            return None
        return key.text


_ODD_BREAKS = re.compile("[\x85\u2028\u2029]")
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]{1,3})?")
_WORDS = {"": None, "~": None, "null": None, "true": True, "True": True, "false": False, "False": False}


def _plain(text: str) -> tuple[Any, str]:
    """Return what a plain scalar means, and a fault where two people would read it differently."""
    if text in _WORDS:
        return _WORDS[text], ""
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("+-")
        if len(digits) > 1 and digits.startswith("0"):
            return int(text), f"{text} could mean an octal number; write it without the leading zero, or in quotes"
        return int(text), ""
    if len(text) <= LONGEST_NUMBER and _FLOAT.fullmatch(text):
        return float(text), ""
    return text, ""


def _syntax(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    """Return the parser's complaint in words that say what to do."""
    problem = error.problem or "this is not YAML"
    lines = text.split("\n")
    here = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\\t" in problem or (here.startswith("\t") or "\t" in here[: len(here) - len(here.lstrip())]):
        return "a tab is used for indentation; use spaces"
    if "undefined alias" in problem:
        return f"{problem}; write the value out"
    context = f" {error.context}" if error.context else ""
    return f"this is not YAML ({problem}{context}); check indentation, quotes and brackets around here"
