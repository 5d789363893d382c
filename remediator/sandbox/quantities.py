"""Kubernetes quantities: read "500m", "2048Mi" or 0.5, compare them, and write them in their canonical form."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache

_PATTERN = re.compile(r"^([+-]?[0-9.]+)((?:[eE][+-]?[0-9]+)|[numkKMGTPE]?i?)$")
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BY_EXPONENT = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_MAX_LENGTH = 64
_MAX_EXPONENT = 18

FAULT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class QuantityError(ValueError):
    """The text is no quantity."""


def parse(text: str | float) -> Decimal:
    """Return the value of a quantity; QuantityError when it is none."""
    return _parse(str(text))[0]


@lru_cache(maxsize=4096)
def canonical(text: str | float) -> str:
    """Return the form in which the API server hands the quantity back; QuantityError when it is none."""
    value, suffix = _parse(str(text))
    if suffix in _BINARY and value == value.to_integral_value():
        return _binary(value)
    return _decimal(value)


@lru_cache(maxsize=4096)
def _parse(text: str) -> tuple[Decimal, str]:
    match = _PATTERN.match(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        raise QuantityError(FAULT)
    number, suffix = match.groups()
    try:
        value = Decimal(number)
    except InvalidOperation:
        raise QuantityError(FAULT) from None
    if suffix in _BINARY:
        return value * (2 ** _BINARY[suffix]), suffix
    if suffix in _DECIMAL:
        return value.scaleb(_DECIMAL[suffix]), suffix
    exponent = suffix[1:].lstrip("+-")
    if suffix[:1] not in {"e", "E"} or not exponent or int(exponent) > _MAX_EXPONENT:
        raise QuantityError(FAULT)
    return value.scaleb(int(suffix[1:])), "e"


def _binary(value: Decimal) -> str:
    number = int(value)
    for suffix, bits in reversed(_BINARY.items()):
        if number and number % (1 << bits) == 0:
            return f"{number >> bits}{suffix}"
    return str(number)


def _decimal(value: Decimal) -> str:
    if value == 0:
        return "0"
    for exponent in sorted(_BY_EXPONENT, reverse=True):
        scaled = value.scaleb(-exponent)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{_BY_EXPONENT[exponent]}"
    # Finer than a nano: the server rounds up.
    return f"{int(value.scaleb(9).to_integral_value(rounding='ROUND_CEILING'))}n"
