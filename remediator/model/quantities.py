"""Amounts as Kubernetes writes them: ``500m``, ``2Gi``, ``0.5``; read, and written in its canonical form."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_LONGEST = 64


@lru_cache(maxsize=4096)
def amount(text: str) -> Decimal | None:
    """Return the amount that a quantity stands for, None for what is no quantity."""
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    number, exponent, suffix = Decimal(match[1]), match[2], match[3] or ""
    if exponent:
        return number.scaleb(int(exponent[1:]))
    return number * 2 ** _BINARY[suffix] if suffix in _BINARY else number.scaleb(_DECIMAL[suffix])


def cpu_text(cores: Decimal) -> str:
    """Return an amount of CPU as an API server shows it: cores, or thousandths of one (rounded down to these)."""
    thousandths = int(cores * 1000)
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def memory_text(size: Decimal) -> str:
    """Return an amount of memory as an API server shows it: bytes with the largest binary suffix that keeps them."""
    left, suffix = int(size), ""
    for larger in _BINARY:
        if left == 0 or left % 1024:
            break
        left, suffix = left // 1024, larger
    return f"{left}{suffix}"
