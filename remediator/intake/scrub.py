"""Foreign text made fit to be kept or shown: secrets taken out, control characters spelt, length bounded.

What arrives in a webhook is data of somebody else: it may hold a password in a URL, or escape codes that repaint the
terminal of whoever reads the log at night.
"""

from __future__ import annotations

import re

from remediator.core.regex import finder

MASK = "***"

# Each pattern keeps its first group and drops what follows. They are linear: no repeat contains another one.
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"([a-z][a-z0-9+.-]{0,30}://)[^\s/@\"'<>]{1,512}@", re.IGNORECASE), rf"\1{MASK}@"),
    (re.compile(r"\b((?:bearer|basic)\s{1,4})[A-Za-z0-9._~+/=-]{6,4096}", re.IGNORECASE), rf"\1{MASK}"),
    (
        re.compile(
            r"((?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|cookie)"
            r"[\"'\\]{0,3}\s{0,4}[=:]\s{0,4})(?:\\?\"[^\"\\]{0,4096}\\?\"|'[^']{0,4096}'|[^\s,;&\"'}]{1,4096})",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----)[^-]{0,65536}"), rf"\1{MASK}"),
    (re.compile(r"\b(eyJ)[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{0,4096}"), rf"\1{MASK}"),
    (re.compile(r"\b(AKIA|ASIA|ghp_|gho_|ghs_|xox[abp]-|glpat-)[A-Za-z0-9_-]{10,255}"), rf"\1{MASK}"),
)

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
    """Return the text with what looks like a credential replaced by ``***``: URLs, headers, key=value, keys, tokens."""
    for pattern, kept in _SECRETS:
        text = pattern.sub(kept, text)
    return text


# What every secret that ``hide_secrets`` knows has in it: one of these in any case, or one of those as it stands.
_MARKS = (
    *("@", "pass", "pwd", "secret", "token", "cookie", "_key", "-key", "apikey", "accesskey", "privatekey", "bearer"),
    *("basic", "private key"),
)
_PREFIXES = ("eyJ", "AKIA", "ASIA", "ghp_", "gho_", "ghs_", "xox", "glpat-")
# An escape could spell any of them.
_holds_a_mark = finder(_MARKS, (*_PREFIXES, "\\u00"))


def may_hold_secrets(body: bytes) -> bool:
    """Tell, in little time, whether a JSON text can hold anything that ``hide_secrets`` would take out."""
    return _holds_a_mark(body)


def without_secrets(text: str) -> str:
    """Return what ``hide_secrets`` does, which is only asked where there may be something to hide."""
    lower = text.lower()
    if any(mark in lower for mark in _MARKS) or any(prefix in text for prefix in _PREFIXES):
        return hide_secrets(text)
    return text


def scrub(text: str, limit: int) -> str:
    """Return at most ``limit`` characters, without secrets and without control characters; a cut is marked by ``…``."""
    # Looking a little past the limit finds the secret that the cut would otherwise leave half of.
    clean = spell_controls(hide_secrets(text[: limit * 2 + 64]))
    if len(clean) <= limit and len(text) <= limit * 2 + 64:
        return clean
    return clean[: limit - 1] + "…"
