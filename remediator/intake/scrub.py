"""Foreign text made fit to be shown: secrets taken out, control characters spelt, length bounded.

What arrives in a webhook is data of somebody else: it may hold a password in a URL, or escape codes that repaint the
terminal of whoever reads the log at night.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from remediator import redaction

_TELLING = re.compile(r"(?:password|passwd|passphrase|token|(?:api|access|private)[-_]?key)s?\Z", re.IGNORECASE)
_GRAPH = re.compile(r"g\d{1,3}\.(?:expr|tab|range_input|moment_input)=")

# C0 without tab and newline, DEL, C1, the marks that reorder text or break lines, and lone surrogates.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_CONTROL_OR_BREAK = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def _spell(match: re.Match[str]) -> str:
    code = ord(match.group())
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(match.group()) or (
        f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - what fits two hex digits
    )


def spell_controls(text: str, *, keep_breaks: bool = False) -> str:
    r"""Return the text with every control character spelt (``\x1b``); with ``keep_breaks`` newlines and tabs stay."""
    return (_CONTROL if keep_breaks else _CONTROL_OR_BREAK).sub(_spell, text)


def hide_secrets(text: str) -> str:
    """Return the text without what is known to be a credential; ids and digests of ours stay."""
    return redaction.text(text, bare=False)


def may_hold_secrets(body: bytes) -> bool:
    """Tell, in little time, whether a JSON text can hold anything that would be taken out."""
    return redaction.may_hold(body)


def without_secrets(text: str) -> str:
    """Return the text without credentials, those included that only their shape tells."""
    return redaction.text(text)


def labels_without_secrets(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels, or their like, without credentials: in values, in names, and where a name says that one follows.

    Less is believed of a label's name than of others: ``secret`` names a Secret, ``sid`` a database.
    """
    return {
        redaction.text(name): redaction.MARK if _TELLING.search(name) else redaction.text(value)
        for name, value in labels.items()
    }


def annotations_without_secrets(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return annotations without credentials, wherever they stand."""
    return {
        redaction.text(name): redaction.MARK if redaction.is_secret_key(name) else redaction.text(value)
        for name, value in annotations.items()
    }


def link_without_secrets(link: str) -> str:
    """Return a link to a graph: of its query stay the expressions and how they are shown."""
    place, mark, query = link.partition("?")
    kept = [redaction.text(part) for part in query.split("&") if _GRAPH.match(part)]
    return redaction.text(place) + (mark + "&".join(kept) if kept else "")


def scrub(text: str, limit: int) -> str:
    """Return at most ``limit`` characters, without secrets and without control characters; a cut is marked by ``…``."""
    # Looking a little past the limit finds the secret that the cut would otherwise leave half of.
    clean = spell_controls(hide_secrets(text[: limit * 2 + 64]))
    if len(clean) <= limit and len(text) <= limit * 2 + 64:
        return clean
    return clean[: limit - 1] + "…"
