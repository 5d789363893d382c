"""Takes secrets out of text and documents: patterns for what is known, entropy for what is not.

Everything that is kept as evidence, quoted in an error or stored as a before-image passes here. It errs on the side of
hiding: a trace id of 32 hex digits goes too, for nothing tells it from a key. Applying it twice changes nothing more.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

MARK = "[redacted]"
_ROUNDS = 4
_DEEPEST = 40

_WORDS = (
    r"pass(?:word|wd|phrase)?|pwd|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|account[-_.]?key|"
    r"signing[-_.]?key|encryption[-_.]?key|credentials?|client[-_.]?secret|connection[-_.]?string|"
    r"session(?:[-_.]?id)?|sid|auth|cookie|csrf|jwt|otp|signature|sig|salt|dsn"
)
# A key whose value is a secret: the word stands at its end (DB_PASSWORD, spring.datasource.password, X-Api-Key).
_SECRET_KEY = re.compile(rf"(?i)(?:^|[-_.]|(?<=[a-z]))(?:{_WORDS})s?\Z")

_VALUE = r'"(?:[^"\\\n]|\\.)*"?|\'(?:[^\'\\\n]|\\.)*\'?|[^\s"\',;&)}\]]+'

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Key blocks: also where the end, or the beginning, was cut off.
    (
        re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}-----.*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)", re.DOTALL),
        MARK,
    ),
    (re.compile(r"(?m)^[^\n]*-----END [A-Z0-9 ]{0,40}-----"), MARK),
    # Headers whose whole line is the secret.
    (
        re.compile(
            r"(?im)\b((?:proxy-)?authorization|(?:set-)?cookie|x-(?:api-key|auth-token|amz-security-token|vault-token))"
            r"(\\?[\"']?\s*[:=]\s*)(?!\[redacted\])[^\n]+"
        ),
        rf"\1\2{MARK}",
    ),
    (
        re.compile(r"(?i)\b(bearer|basic|negotiate|digest|apikey)\s+(?!\[redacted\])[A-Za-z0-9+/=_.~:-]{4,}"),
        rf"\1 {MARK}",
    ),
    # userinfo of a URL or DSN, then what comes after its question mark.
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,20}://)(?!\[redacted\]@)[^\s/\"'<>]+@"), rf"\1{MARK}@"),
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s?\"'<>]{1,2048}\?)(?!\[redacted\])[^\s\"'<>]+"), rf"\1{MARK}"),
    (re.compile(r"((?:^|\s|\")/[^\s?\"'<>]{0,2048}\?)(?!\[redacted\])[^\s\"'<>]+"), rf"\1{MARK}"),
    # key=value, key: value, "key": "value", --key value.
    (
        re.compile(
            rf"(?i)((?<![A-Za-z0-9])[\w.-]{{0,64}}?(?:{_WORDS})s?\\?[\"']?\s{{0,4}}(?:[:=]|=>)\s{{0,4}})"
            rf"(?!\\?[\"']?\[redacted\])({_VALUE})"
        ),
        rf"\1{MARK}",
    ),
    (re.compile(rf"(?i)(--?[\w-]{{0,40}}?(?:{_WORDS})s?\s{{1,4}})(?!\[redacted\])(?!-)({_VALUE})"), rf"\1{MARK}"),
    (
        re.compile(r"(?i)\b((?:identified|password)\s+(?:by|is)?\s{0,4})(?!\[redacted\])('[^'\n]*'|\"[^\"\n]*\")"),
        rf"\1{MARK}",
    ),
    # Shapes that speak for themselves.
    (re.compile(r"\beyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){0,4}"), MARK),
    (re.compile(r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{12,}\b"), MARK),
    (
        re.compile(
            r"\b(?:gh[pousr]|github_pat|glpat|xox[abeoprs]|sk|pk|rk|npm|pypi|hvs|dop_v1|AIza)[-_][A-Za-z0-9_-]{8,}"
        ),
        MARK,
    ),
    (re.compile(r"\bAIza[A-Za-z0-9_-]{20,}"), MARK),
)

_TOKEN = re.compile(r"[A-Za-z0-9+/_=~-]{20,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX = re.compile(r"[0-9a-fA-F]+")
_LONG_HEX = 32
_ENTROPY = 3.6
_PIECES = re.compile(r"[/_=~+-]+")
_LONG_PIECE = 16


def text(value: str) -> str:
    """Return the text with every secret that can be recognised replaced by ``[redacted]``."""
    for _ in range(_ROUNDS):
        before = value
        for pattern, replacement in _PATTERNS:
            value = pattern.sub(replacement, value)
        value = _TOKEN.sub(_judge, value)
        if value == before:
            break
    return value


def tree(value: Any, *, depth: int = 0) -> Any:
    """Return a JSON document with the same done to every string, and with the values of secret-like keys left out.

    Values of environment variables (``{"name", "value"}`` pairs) and the data of Secrets go whatever they look like.
    """
    if depth > _DEEPEST:
        return MARK
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return _mapping(value, depth)
    if isinstance(value, list | tuple):
        return [tree(item, depth=depth + 1) for item in value]
    return value


def is_secret_key(key: str) -> bool:
    """Tell whether a key says that its value is a secret."""
    return _SECRET_KEY.search(key) is not None


def _mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    hidden = {"value"} if isinstance(value.get("name"), str) and isinstance(value.get("value"), str) else set[str]()
    if value.get("kind") == "Secret":
        hidden |= {"data", "stringData"}
    clean: dict[str, Any] = {}
    for key, item in value.items():
        secret = key in hidden or (is_secret_key(str(key)) and isinstance(item, str | int | float))
        clean[text(str(key))] = MARK if secret else tree(item, depth=depth + 1)
    return clean


def _judge(found: re.Match[str]) -> str:
    token = found.group()
    start = found.start()
    digest = found.string[max(0, start - 7) : start] == "sha256:"
    if digest or _UUID.fullmatch(token):
        return token
    return MARK if _looks_random(token) else token


def _looks_random(token: str) -> bool:
    if any(len(piece) >= _LONG_HEX and _HEX.fullmatch(piece) for piece in _PIECES.split(token)):
        return True
    # Names of pods, paths and classes are words between separators; a key is one long run of mixed characters.
    longest = max(_PIECES.split(token), key=len)
    mixed = sum(1 for test in (str.islower, str.isupper, str.isdigit) if any(map(test, token)))
    if mixed < 3 and len(longest) < _LONG_HEX:  # noqa: PLR2004 - lower, upper and digits
        return False
    return (len(longest) >= _LONG_PIECE or len(token) >= _LONG_HEX) and mixed >= 2 and _entropy(token) >= _ENTROPY  # noqa: PLR2004


def _entropy(token: str) -> float:
    size = len(token)
    return -sum(count / size * math.log2(count / size) for count in Counter(token).values())
