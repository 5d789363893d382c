"""Checks the parameters that a rule gives to an action, and names every fault at once."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import FieldInfo

from remediator.actions.shape import ActionType, Parameters
from remediator.model.errors import ConfigError

Span = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,4}[smhd]$")]
"""A length of time as rules write it: ``90s``, ``30m``, ``1h``, ``2d``."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(span: str) -> int:
    """Return the seconds of a Span."""
    return int(span[:-1]) * _UNITS[span[-1]]


def parse_parameters(action: ActionType, raw: dict[str, Any]) -> Parameters:
    """Return the parameters as the action's own type, or raise ConfigError with one sentence for every fault.

    msgspec stops at its first fault; a person who writes rules wants all of them, so each field is converted by itself.
    """
    fields = {info.encode_name: info for info in msgspec.structs.fields(action.parameters)}
    problems = _unknown(action.name, raw, fields)
    problems += _missing(action.name, raw, fields.values())
    values: dict[str, Any] = {}
    for name, info in fields.items():
        if name not in raw:
            continue
        try:
            values[info.name] = msgspec.convert(raw[name], info.type)
        except msgspec.ValidationError as error:
            problems.append(f"{action.name}.{name}: {_sentence(str(error))}")
    if problems:
        raise ConfigError(*problems)
    parameters = action.parameters(**values)
    faults = action.faults(parameters)
    if faults:
        raise ConfigError(*(f"{action.name}: {fault}" for fault in faults))
    return parameters


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'scale'?`` for a near miss, otherwise what there is to choose from."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    if not names:
        return "; it takes none"
    return f"; known are {', '.join(names)}"


def _unknown(action: str, raw: dict[str, Any], fields: dict[str, FieldInfo]) -> list[str]:
    """Return a sentence for every key that the action does not take."""
    return [
        f"{action} has no parameter {name!r}{did_you_mean(str(name), fields)}" for name in raw if name not in fields
    ]


def _missing(action: str, raw: dict[str, Any], fields: Iterable[FieldInfo]) -> list[str]:
    """Return a sentence for every parameter that must be given and is not."""
    return [
        f"{action} needs the parameter '{info.encode_name}'"
        for info in fields
        if info.required and info.encode_name not in raw
    ]


def _sentence(message: str) -> str:
    """Turn msgspec's words into ours: lower case at the start, plain quotes."""
    plain = message.replace("`", "'")
    return plain[:1].lower() + plain[1:]
