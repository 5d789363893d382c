"""The words for faults: short constructors of causes, and the patterns that names must fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from remediator.sandbox.resources import Json
from remediator.sandbox.status import Cause

Check = Callable[[Json, Json | None], list[Cause]]

LABEL_LENGTH = 63
SUBDOMAIN_LENGTH = 253
_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_PATH_SEGMENT = re.compile(r"^[^/%]+$")
_QUALIFIED = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
_LABEL_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")

SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def required(field: str, why: str = "") -> Cause:
    """Something must stand there."""
    return Cause("FieldValueRequired", f"Required value: {why}" if why else "Required value", field)


def bad(field: str, value: Any, why: str) -> Cause:
    """The value breaks a rule."""
    return Cause("FieldValueInvalid", f"Invalid value: {msgspec.json.encode(value).decode()}: {why}", field)


def not_allowed(field: str, why: str) -> Cause:
    """The field may not be set, or not be changed."""
    return Cause("FieldValueForbidden", f"Forbidden: {why}", field)


def unsupported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    """The value is none of those that exist."""
    names = ", ".join(f'"{name}"' for name in supported)
    text = f"Unsupported value: {msgspec.json.encode(value).decode()}: supported values: {names}"
    return Cause("FieldValueNotSupported", text, field)


def immutable(field: str, value: Any) -> Cause:
    """The value was to be changed, and cannot be."""
    return bad(field, value, "field is immutable")


def is_label(text: str) -> bool:
    """Tell whether a text is an RFC 1123 label."""
    return len(text) <= LABEL_LENGTH and _LABEL.match(text) is not None


def is_subdomain(text: str) -> bool:
    """Tell whether a text is an RFC 1123 subdomain."""
    return len(text) <= SUBDOMAIN_LENGTH and _SUBDOMAIN.match(text) is not None


def is_path_segment(text: str) -> bool:
    """Tell whether a text can stand as one segment of a path."""
    return text not in {".", ".."} and _PATH_SEGMENT.match(text) is not None


def is_qualified(text: str) -> bool:
    """Tell whether a text is a qualified name: an optional DNS prefix, a slash and a short name."""
    prefix, slash, name = text.rpartition("/")
    return len(name) <= LABEL_LENGTH and _QUALIFIED.match(name) is not None and (not slash or is_subdomain(prefix))


def is_label_value(text: str) -> bool:
    """Tell whether a text may be the value of a label."""
    return len(text) <= LABEL_LENGTH and _LABEL_VALUE.match(text) is not None


def not_negative(field: str, value: Any) -> list[Cause]:
    """Return the fault of a number below zero; None is no fault."""
    return [bad(field, value, "must be greater than or equal to 0")] if value is not None and value < 0 else []
