"""The identity of an alert: the hash of its labels, made the way Alertmanager makes it.

Alertmanager hashes with FNV-1a (64 bit) over the label names in order, each followed by its value, each of the two
closed by the byte 255. Neither annotations nor times enter, so every episode of an alert has the same fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping

_OFFSET = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_MASK = 0xFFFFFFFFFFFFFFFF
_SEPARATOR = b"\xff"
_HEX = "0123456789abcdef"


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return the 16 hex digits that Alertmanager gives these labels. A label with an empty value counts as absent."""
    spelt = b"".join(
        name.encode() + _SEPARATOR + value.encode() + _SEPARATOR for name, value in sorted(labels.items()) if value
    )
    digest = _OFFSET
    for byte in spelt:
        digest = ((digest ^ byte) * _PRIME) & _MASK
    return f"{digest:016x}"


def is_fingerprint(text: str) -> bool:
    """Tell whether the text is 16 lower-case hex digits, as every fingerprint of Alertmanager is."""
    return len(text) == 16 and not text.strip(_HEX)  # noqa: PLR2004 - the docstring says 16
