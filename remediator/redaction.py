"""Takes secrets out of text and documents: patterns for what is known, entropy for what is not.

Everything foreign that is kept, told or shown passes here: alerts, evidence, errors, rule files, what people type, the
log. It errs on the side of hiding: a trace id of 32 hex digits goes too, for nothing tells it from a key. Applying it
twice changes nothing more. ``may_hold`` tells in no time whether there is anything to do.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from remediator.core.regex import searcher

MARK = "[redacted]"
_ROUNDS = 4
_DEEPEST = 40

# A key whose value is a secret ends with one of these (DB_PASSWORD, spring.datasource.password, X-Api-Key); the short
# ones count as whole words only.
_SECRET_KEY = re.compile(
    r"(?:pass(?:word|wd|phrase|code)?|secret|token|(?:api|access|private|account|signing|encryption|master)[-_.]?key|"
    r"(?:key|certificate|authority)[-_.]data|credentials?|connection[-_.]?string|session[-_.]?id|cookie|authorization|authentication|signature|"
    r"(?:^|[^a-z])(?:pwd|sid|sig|auth|otp|pin|salt|dsn|jwt|csrf|session))s?\Z"
)

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# Matched from the start of a word to its end and never given back (++), so that no text makes this slow.
_KEY = re.compile(r"(?<![\w.-])(-{0,2}+[\w.-]++)(\\{0,3}[\"']?[ \t]{0,4}(?:=>|[:=])[ \t]{0,4}|[ \t]{1,4}(?=[^\s-]))")
_VALUE = re.compile(
    r"(\\+\"|\\+')[^\"'\n]*+[\"']?|(\")(?:[^\"\\\n]|\\.)*+\"?|(')(?:[^'\\\n]|\\.)*+'?|"
    r"\[[^\]\n]*+\]?[^\s\"']*+|\{[^}\n]*+\}?[^\s\"']*+|[^\s\"']++"
)

# Each with letters that must be in the (lowered) text for it to be worth a look.
_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    # Key blocks, also where the end or the beginning was cut off.
    (
        ("-----begin",),
        re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}-----.*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)", re.DOTALL),
        MARK,
    ),
    (("-----end",), re.compile(r"(?m)^.*?-----END [A-Z0-9 ]{0,40}-----"), MARK),
    # Headers whose whole line is the secret.
    (
        ("authorization", "cookie", "x-api-key", "x-auth", "x-amz", "x-vault"),
        re.compile(
            r"(?i)\b(authorization|cookie|x-(?:api-key|auth-token|amz-security-token|vault-token))"
            r"(\\{0,3}[\"']?[ \t]{0,4}[:=][ \t]{0,4})(?!\[redacted\])[^\s][^\n]*+"
        ),
        rf"\1\2{MARK}",
    ),
    (
        ("bearer", "basic", "negotiate", "apikey"),
        re.compile(r"(?i)\b(bearer|basic|negotiate|apikey)[ \t]{1,4}[A-Za-z0-9+/=_.~:-]{6,}+"),
        rf"\1 {MARK}",
    ),
    (("digest",), re.compile(r"(?i)\b(digest)[ \t]{1,4}(?=[a-z]{1,16}=)[^\n]*+"), rf"\1 {MARK}"),
    # user and password in a URL or DSN, and what comes after a question mark.
    (
        ("://",),
        re.compile(r"://(?:[^\s/@:\"'<>]{0,256}+:[^\s\"'<>]{1,512}|[^\s/\"'<>]{1,512})@"),
        f"://{MARK}@",
    ),
    (("?",), re.compile(r"(?<=[\w/.])\?(?!\[redacted\])[^\s\"'<>?]{3,}+"), f"?{MARK}"),
    # An environment variable, written out.
    (
        ("value",),
        re.compile(
            r"(?i)((?<!\w)name\\{0,3}[\"']?[:=]\s{0,4}\\{0,3}[\"']?[\w.-]{0,64}?(?:pass|pwd|secret|token|key|cred)[\w.-]{0,64}+"
            r"\\{0,3}[\"']?,?\s{0,16}\\{0,3}[\"']?value\\{0,3}[\"']?[:=]\s{0,4}\\{0,3}[\"']?)(?!\[redacted\])[^\s\"'\\]++"
        ),
        rf"\1{MARK}",
    ),
    # SQL.
    (
        ("identified", "password"),
        re.compile(r"(?i)\b(identified[ \t]{1,4}by|password)([ \t]{1,4})('[^'\n]*+'?|\"[^\"\n]*+\"?)"),
        rf"\1\2{MARK}",
    ),
    # Shapes that speak for themselves.
    (("eyj",), re.compile(r"\beyJ[A-Za-z0-9_-]{6,}+(?:\.[A-Za-z0-9_-]*+){0,4}"), MARK),
    (
        ("akia", "asia", "agpa", "aida", "aroa", "anpa"),
        re.compile(r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Za-z0-9]{12,}+\b"),
        MARK,
    ),
    (
        ("gh", "glpat", "xox", "sk-", "sk_", "pk_", "rk_", "npm_", "pypi-", "hvs.", "dop_v1", "aiza"),
        re.compile(
            r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|[spr]k[-_]|npm_|pypi-|hvs\.|dop_v1_|AIza)[\w-]{8,}+"
        ),
        MARK,
    ),
)

_TOKEN = re.compile(r"(?<![A-Za-z0-9+/_=~-])[A-Za-z0-9+/_=~-]{20,}+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX = re.compile(r"[0-9a-fA-F]+")
_LONG_HEX = 32
_ENTROPY = 3.6
_PIECES = re.compile(r"[/_=~+-]+")
_LONG_PIECE = 17
_LONG_WORD = 40
_CAPITALS = 0.25
_DIGITS = 0.1


# What ``text`` could change has one of these in it: each is wider than what it stands for, and a false alarm costs only
# time. They fire seldom on ordinary alerts: a link to a Prometheus graph (?g0.) and names of alerts do not count.
_KEYS = (
    r"(?:pass(?:word|wd|phrase|code)?|secret|token|(?:api|access|private|account|signing|encryption|master)[-_.]?key|"
    r"(?:key|certificate|authority)[-_.]?data|credentials?|connection[-_.]?string|session|session[-_.]?id|cookie|"
    r"authorization|authentication|signature|pwd|sid|sig|auth|otp|pin|salt|dsn|jwt|csrf)s?"
)
# To RE2 only ASCII makes words; to the patterns above ö does, too.
_W = r"\w\x{80}-\x{10FFFF}"
_NAMED = (
    r"-----(?:BEGIN|END) ",
    r"(?i:authorization|cookie|x-api-key|x-auth-token|x-amz-security-token|x-vault-token)",
    r"(?i:(?:bearer|basic|negotiate|apikey)[ \t]+[a-z0-9+/=_.~:-]{6})",
    r"(?i:digest[ \t]+[a-z]+=)",
    r"://[^\s\"'<>]*@",
    rf"[{_W}/.]\?(?:[^gG\s\"'<>?]|[gG][^0\s\"'<>?]|[gG]0[^.\s\"'<>?])[^\s\"'<>?]",
    rf"(?i:{_KEYS}\\*[\"']?[ \t]*(?:=>|[:=]))",
    rf"(?i:--[{_W}.-]*{_KEYS}[ \t]+[^\s-])",
    rf"(?i:name\\*[\"']?[:=]\s*\\*[\"']?[{_W}.-]{{0,128}}(?:pass|pwd|secret|token|key|cred))",
    r"(?i:(?:identified[ \t]+by|password)[ \t]+['\"])",
    r"eyJ[A-Za-z0-9_-]{6}",
    r"(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Za-z0-9]{12}",
    r"(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|[spr]k[-_]|npm_|pypi-|hvs\.|dop_v1_|AIza)[\w-]{8}",
    # NUL, and what an escape in a JSON text could spell; but not &, < and >, which Alertmanager always spells so.
    r"\x00",
    r"\\u00(?:[0-14-9a-fA-F]|2[0-57-9a-fA-F]|3[0-9abdfABDF])",
)
# A run of letters and digits that is long enough to be a token: longer than words are, or with a digit in it, or with a
# capital and beside one of the marks that tokens are made of. Each expression begins where a run begins (or at the mark
# before it) and looks for the first digit or capital, or for the last: so one attempt at a time is under way, and the
# automaton stays small. Looked for anywhere in a run they make so many states that RE2 gives up, and a long body takes
# sixty times as long.
_RUN, _AT_MARK = r"(?:\A|[^A-Za-z0-9])", r"[+/_=~-]"
_PLACES = [(place, _LONG_PIECE - 1 - place) for place in range(_LONG_PIECE)]
_BARE = (
    rf"{_RUN}[A-Za-z0-9]{{{_LONG_WORD}}}|{_RUN}[A-Za-z0-9]{{{_LONG_HEX},}}{_AT_MARK}",
    rf"{_AT_MARK}[A-Za-z0-9]{{{_LONG_HEX}}}|{_RUN}[A-Za-z]{{{_LONG_PIECE},}}[0-9]",
    *(rf"{_RUN}[A-Za-z]{{{before}}}[0-9][A-Za-z0-9]{{{after}}}" for before, after in _PLACES),
    *(rf"{_AT_MARK}[a-z0-9]{{{before}}}[A-Z][A-Za-z0-9]{{{after}}}" for before, after in _PLACES),
    *(rf"{_RUN}[A-Za-z0-9]{{{before},}}[A-Z][a-z0-9]{{{after}}}{_AT_MARK}" for before, after in _PLACES),
)
_holds_named = searcher("|".join(_NAMED))
_holds_bare = searcher("|".join(_BARE))


def may_hold(value: bytes, *, bare: bool = True) -> bool:
    """Tell, in little time, whether a text, or a text in JSON, can hold anything that ``text`` would take out."""
    return _holds_named(value) or (bare and _holds_bare(value))


def text(value: str, *, bare: bool = True) -> str:
    """Return the text with every secret that can be recognised replaced by ``[redacted]``.

    Without ``bare`` only what something around it names or what has a shape of its own: digests and ids of ours stay.
    NUL goes too: PostgreSQL, where evidence is kept, takes none.
    """
    if not may_hold(value.encode("utf-8", "surrogatepass"), bare=bare):
        return value
    return the_long_way(value, bare=bare)


def the_long_way(value: str, *, bare: bool) -> str:
    """As ``text``, without the quick look before."""
    value = value.replace("\x00", "\ufffd")
    for _ in range(_ROUNDS):
        before = value
        lowered = value.lower()
        for needed, pattern, replacement in _PATTERNS:
            if any(letters in lowered for letters in needed):
                value = pattern.sub(replacement, value)
        value = _assignments(value)
        value = _TOKEN.sub(_judge, value) if bare else value
        if value == before:
            break
    return value


def _assignments(value: str) -> str:
    """Redact in ``key=value``, ``key: value``, ``"key": "value"`` and ``--key value`` where the key tells."""
    pieces = []
    done = 0
    for found in _KEY.finditer(value):
        key, between = found.group(1), found.group(2)
        if found.start() < done or (between.isspace() and not key.startswith("-")) or not is_secret_key(key):
            continue
        secret = _VALUE.match(value, found.end())
        if secret is None or secret.group().strip("\\\"'") == MARK:
            continue
        quote = next((group for group in secret.groups() if group), "")
        pieces += [value[done : found.end()], quote, MARK, quote]
        done = secret.end()
    return "".join([*pieces, value[done:]])


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
    """Tell whether a key says that its value is a secret. Where its words join (userAuth) counts as a boundary."""
    return _says_secret(key[-64:])


@lru_cache(maxsize=4096)
def _says_secret(key: str) -> bool:
    return _SECRET_KEY.search(_CAMEL.sub("_", key).lower()) is not None


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
    # Names of pods, paths and classes are words: between separators, or with a capital now and then. A key is one long
    # run of mixed characters.
    longest = max(_PIECES.split(token), key=len)
    uppers, digits = sum(map(str.isupper, token)), sum(map(str.isdigit, token))
    mixed = (uppers > 0) + (digits > 0) + any(map(str.islower, token))
    wordlike = (uppers + digits) / len(token) < (_CAPITALS if uppers else _DIGITS)
    needed = _LONG_PIECE if mixed == 3 else _LONG_HEX if digits else _LONG_WORD  # noqa: PLR2004 - lower, upper, digits
    return len(longest) >= needed and mixed > 1 and not wordlike and _entropy(token) >= _ENTROPY


def _entropy(token: str) -> float:
    size = len(token)
    return -sum(count / size * math.log2(count / size) for count in Counter(token).values())
