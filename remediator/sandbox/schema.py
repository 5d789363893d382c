"""What fields the served kinds have: reads an object as its kind, drops what is unknown, refuses wrong types.

schema.json lists every type as JSON field -> type word. The words: str, int, bool, number, time, microtime, quantity,
int-or-str, any, `[word]` for lists, `{word}` for maps with string keys, or the name of another type in the file.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from remediator.sandbox.clock import micro_timestamp, timestamp
from remediator.sandbox.quantities import QuantityError, canonical
from remediator.sandbox.resources import Json, Resource

_FILE = Path(__file__).with_name("schema.json")
_TYPE_NAMES = {
    ("", "Event"): "CoreV1Event",
    ("events.k8s.io/v1", "Event"): "EventsV1Event",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "V2HorizontalPodAutoscaler",
    ("v1", "Event"): "CoreV1Event",
}
_MICRO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$")
# Fields that Go leaves out of JSON when they hold their zero value, where that matters to a reader.
_OMITTED_WHEN_ZERO = {
    "V1EnvVar.value", "V1DeploymentSpec.paused", "V1DeploymentSpec.minReadySeconds", "V1PodSpec.nodeName",
    "V1NodeSpec.unschedulable", "V1ScaleSpec.replicas",
}  # fmt: skip
# Lists and maps that Go writes even when they are empty.
_KEPT_WHEN_EMPTY = {"V1PodSpec.containers", "V1EndpointSlice.endpoints", "V1PolicyRule.verbs", "V1IngressRule.paths"}


class TypeFault(Exception):
    """A value is not of the type of its field; the text is what a Kubernetes API server says."""


class Reading:
    """One pass over one object: collects the unknown fields that were dropped on the way."""

    __slots__ = ("unknown",)

    def __init__(self) -> None:
        """Begin with none."""
        self.unknown: list[str] = []


_Convert = Callable[[Any, str, Reading], Any]


@cache
def types() -> dict[str, dict[str, str]]:
    """Return the whole schema: type name -> field -> type word."""
    return msgspec.json.decode(_FILE.read_bytes(), type=dict[str, dict[str, str]])


def type_name(resource: Resource) -> str:
    """Return the name in the schema of what a resource's objects are."""
    return _TYPE_NAMES.get((resource.group_version, resource.kind), f"V1{resource.kind}")


def read(name: str, value: Json) -> tuple[Json, list[str]]:
    """Return the object in canonical form and the unknown fields left out; TypeFault on a wrong type.

    Nulls vanish, quantities and times are normalised.
    """
    reading = Reading()
    converted: Json = _converter(name, name)(value, "", reading)
    return converted, reading.unknown


@cache
def _converter(word: str, place: str) -> _Convert:
    if word.startswith("["):
        return _list_of(_converter(word[1:-1], place), word)
    if word.startswith("{"):
        return _map_of(_converter(word[1:-1], place), word)
    simple = _SIMPLE.get(word)
    return simple if simple is not None else _object_of(word)


def _object_of(name: str) -> _Convert:
    fields = types()[name]
    converters: dict[str, _Convert] = {}
    droppable = {
        field
        for field, word in fields.items()
        if (word[0] in "[{" and f"{name}.{field}" not in _KEPT_WHEN_EMPTY) or f"{name}.{field}" in _OMITTED_WHEN_ZERO
    }

    def convert(value: Any, path: str, reading: Reading) -> Json:
        if not isinstance(value, dict):
            raise TypeFault(_cannot(value, path, name))
        result: Json = {}
        for key, item in value.items():
            converter = converters.get(key)
            if converter is None:
                word = fields.get(key)
                if word is None:
                    reading.unknown.append(f"{path}.{key}" if path else key)
                    continue
                converter = converters[key] = _converter(word, f"{name}.{key}")
            if item is None:
                continue
            read_item = converter(item, f"{path}.{key}" if path else key, reading)
            if read_item or key not in droppable:
                result[key] = read_item
        return result

    return convert


def _list_of(inner: _Convert, word: str) -> _Convert:
    def convert(value: Any, path: str, reading: Reading) -> list[Any]:
        if not isinstance(value, list):
            raise TypeFault(_cannot(value, path, word))
        return [inner(item, f"{path}[{index}]", reading) for index, item in enumerate(value)]

    return convert


def _map_of(inner: _Convert, word: str) -> _Convert:
    def convert(value: Any, path: str, reading: Reading) -> Json:
        if not isinstance(value, dict):
            raise TypeFault(_cannot(value, path, word))
        return {key: inner(item, f"{path}.{key}", reading) for key, item in value.items() if item is not None}

    return convert


def _exactly(kind: type, word: str) -> _Convert:
    def convert(value: Any, path: str, _: Reading) -> Any:
        if type(value) is not kind:
            raise TypeFault(_cannot(value, path, word))
        return value

    return convert


def _number(value: Any, path: str, _: Reading) -> Any:
    if type(value) not in {int, float}:
        raise TypeFault(_cannot(value, path, "float64"))
    return value


def _int_or_str(value: Any, path: str, _: Reading) -> Any:
    if type(value) not in {int, str}:
        raise TypeFault(_cannot(value, path, "intstr.IntOrString"))
    return value


def _quantity(value: Any, path: str, _: Reading) -> str:
    if type(value) not in {int, float, str}:
        raise TypeFault(_cannot(value, path, "resource.Quantity"))
    try:
        return canonical(value)
    except QuantityError as error:
        raise TypeFault(str(error)) from None


def _bytes(value: Any, path: str, _: Reading) -> str:
    if type(value) is not str:
        raise TypeFault(_cannot(value, path, "[]uint8"))
    try:
        b64decode(value, validate=True)
    except (Base64Error, ValueError):
        raise TypeFault("illegal base64 data at input byte 0") from None
    return value


def _time(value: Any, path: str, _: Reading) -> str:
    return timestamp(_moment(value, path, "2006-01-02T15:04:05Z07:00"))


def _micro_time(value: Any, path: str, _: Reading) -> str:
    layout = "2006-01-02T15:04:05.000000Z07:00"
    if type(value) is str and not _MICRO.match(value):
        raise TypeFault(f'parsing time "{value}" as "{layout}": cannot parse "{value[19:]}" as ".000000"')
    return micro_timestamp(_moment(value, path, layout))


def _moment(value: Any, path: str, layout: str) -> datetime:
    if type(value) is not str:
        raise TypeFault(_cannot(value, path, "time.Time"))
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise TypeFault(f'parsing time "{value}" as "{layout}": cannot parse') from None
    if moment.tzinfo is None:
        raise TypeFault(f'parsing time "{value}" as "{layout}": cannot parse "" as "Z07:00"')
    return moment.astimezone(UTC)


def _any(value: Any, _path: str, _: Reading) -> Any:
    return value


_SIMPLE: dict[str, _Convert] = {
    "str": _exactly(str, "string"),
    "int": _exactly(int, "int32"),
    "bool": _exactly(bool, "bool"),
    "number": _number,
    "time": _time,
    "microtime": _micro_time,
    "quantity": _quantity,
    "int-or-str": _int_or_str,
    "bytes": _bytes,
    "any": _any,
}


def _cannot(value: Any, path: str, wanted: str) -> str:
    given = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
    word = given.get(type(value), "value")
    return f"json: cannot unmarshal {word} into Go struct field {path} of type {wanted.strip('[]{}')}"
