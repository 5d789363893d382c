"""Who may post: bearer tokens and basic credentials from files, re-read when the files change.

A token file holds ``token`` or ``source:token`` a line, a basic file ``user:password`` a line; empty lines and lines
that begin with ``#`` do not count. All lines are valid at once, so a secret is rotated by adding the new line, moving
the senders over, and removing the old one. The source (or the user) names the sender in everything that is recorded;
the two Alertmanagers of one HA pair use the same.

Only SHA-256 hashes are kept, and a presented secret is compared with all of them in constant time.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from remediator.model.errors import ConfigError
from remediator.ports.observer import Observer, StageEvent

DEFAULT_SOURCE = "alertmanager"
MAX_LINES = 32
MIN_TOKEN_CHARS = 16
MIN_PASSWORD_CHARS = 8
RECHECK_S = 1.0
"""How long a change of a file may go unnoticed, in seconds."""

_MAX_FILE_BYTES = 65_536
_MAX_PRESENTED_CHARS = 4096
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_READABLE_BY_OTHERS = stat.S_IROTH


@dataclass(frozen=True, slots=True)
class _Secret:
    digest: bytes
    source: str


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What tells that a file was replaced or rewritten."""

    changed_ns: int
    size: int


class CredentialFile:
    """One file of secrets and what was last read of it."""

    def __init__(self, path: Path, read_line: Callable[[str], _Secret]) -> None:
        """Name the file; nothing is read yet. ``read_line`` raises ValueError with what is wrong."""
        self.path = path
        self.secrets: tuple[_Secret, ...] = ()
        self.exposed = False
        self._read_line = read_line
        self._stamp: _Stamp | None = None

    def refresh(self) -> bool:
        """Read the file if it changed and tell whether it did. Raises ConfigError; the last good secrets stay."""
        try:
            found = self.path.stat()
            stamp = _Stamp(found.st_ctime_ns, found.st_size)
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            if found.st_size > _MAX_FILE_BYTES:
                raise ConfigError(f"{self.path}: {found.st_size} bytes, at most {_MAX_FILE_BYTES} are read")
            text = self.path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self.path}: is not UTF-8 text") from error
        self.secrets = self._parse(text)
        self.exposed = bool(found.st_mode & _READABLE_BY_OTHERS)
        return True

    def _parse(self, text: str) -> tuple[_Secret, ...]:
        lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
        entries = [(number, line) for number, line in lines if line and not line.startswith("#")]
        if not entries:
            raise ConfigError(f"{self.path}: holds no secret; put one a line")
        if len(entries) > MAX_LINES:
            raise ConfigError(f"{self.path}: {len(entries)} secrets, at most {MAX_LINES} are taken")
        problems: list[str] = []
        secrets: list[_Secret] = []
        for number, line in entries:
            try:
                secrets.append(self._read_line(line))
            except ValueError as error:
                problems.append(f"{self.path}:{number}: {error}")
        if problems:
            raise ConfigError(*problems)
        return tuple(secrets)


class Credentials:
    """The senders that are known. ``monotonic`` gives seconds; files are looked at once in ``RECHECK_S`` of them."""

    def __init__(
        self, *, tokens: Path | None, basic: Path | None, monotonic: Callable[[], float], observer: Observer
    ) -> None:
        """Name the files; ``load`` reads them."""
        self._tokens = CredentialFile(tokens, _read_token) if tokens else None
        self._basic = CredentialFile(basic, _read_basic) if basic else None
        self._monotonic = monotonic
        self._observer = observer
        self._next_look = 0.0
        self._told: dict[CredentialFile, tuple[str, ...]] = {}

    @property
    def required(self) -> bool:
        """Tell whether a request has to bring any."""
        return self._tokens is not None or self._basic is not None

    @property
    def challenge(self) -> str:
        """Return the WWW-Authenticate header of a 401."""
        offered = ['Bearer realm="remediator"'] if self._tokens else []
        if self._basic:
            offered.append('Basic realm="remediator", charset="UTF-8"')
        return ", ".join(offered)

    @property
    def sources(self) -> frozenset[str]:
        """Return under which names alerts are recorded, as the files stand."""
        if not self.required:
            return frozenset({DEFAULT_SOURCE})
        return frozenset(secret.source for file in self._files() for secret in file.secrets)

    def load(self) -> None:
        """Read the files for the first time. Raises ConfigError with every fault of all of them."""
        problems: list[str] = []
        for file in self._files():
            try:
                file.refresh()
                self._warn_if_exposed(file)
            except ConfigError as error:
                flag = "--webhook-token-file" if file is self._tokens else "--webhook-basic-auth-file"
                problems.extend(f"{flag} {problem}" for problem in error.problems)
        if problems:
            raise ConfigError(*problems)
        self._next_look = self._monotonic() + RECHECK_S

    def source_of(self, header: str | None) -> str | None:
        """Return the sender that an Authorization header proves, None if it proves none."""
        self._look_again()
        if header is None or len(header) > _MAX_PRESENTED_CHARS:
            return None
        scheme, _, presented = header.partition(" ")
        match scheme.lower():
            case "bearer" if self._tokens:
                return _find(self._tokens.secrets, presented.strip().encode("utf-8", "surrogateescape"))
            case "basic" if self._basic:
                return _find(self._basic.secrets, _decoded(presented.strip()))
        return None

    def _files(self) -> tuple[CredentialFile, ...]:
        return tuple(file for file in (self._tokens, self._basic) if file is not None)

    def _look_again(self) -> None:
        now = self._monotonic()
        if now < self._next_look:
            return
        self._next_look = now + RECHECK_S
        for file in self._files():
            try:
                changed = file.refresh()
                self._told.pop(file, None)
            except ConfigError as error:
                # Locking every sender out because of a half-written file would lose alerts; it is said loudly instead.
                if self._told.get(file) != error.problems:
                    self._told[file] = error.problems
                    self._tell("unreadable", file, problems=list(error.problems))
                continue
            if changed:
                self._tell("reloaded", file, secrets=len(file.secrets))
                self._warn_if_exposed(file)

    def _warn_if_exposed(self, file: CredentialFile) -> None:
        if file.exposed:
            self._tell("world_readable", file, advice="chmod o-r")

    def _tell(self, outcome: str, file: CredentialFile, **fields: object) -> None:
        event = StageEvent(stage="credentials", outcome=outcome, fields={"file": str(file.path), **fields})
        self._observer.tell(event)


def _find(secrets: tuple[_Secret, ...], presented: bytes) -> str | None:
    digest = sha256(presented).digest()
    found: str | None = None
    for secret in secrets:
        # All of them, always: the time must not tell which line came close.
        if hmac.compare_digest(digest, secret.digest):
            found = secret.source
    return found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("utf-8", "surrogateescape"), validate=True)
    except binascii.Error:
        return b""


def _read_token(line: str) -> _Secret:
    source, colon, token = line.rpartition(":")
    if colon and not _SOURCE.fullmatch(source):
        raise ValueError("the source before the colon may have letters, digits and ._@- only, 63 at most")
    if not _TOKEN.fullmatch(token):
        raise ValueError("a bearer token may have letters, digits and ._~+/- only, and = at its end")
    if len(token) < MIN_TOKEN_CHARS:
        raise ValueError(f"the token is shorter than {MIN_TOKEN_CHARS} characters; try: openssl rand -hex 32")
    return _Secret(sha256(token.encode()).digest(), source or DEFAULT_SOURCE)


def _read_basic(line: str) -> _Secret:
    user, colon, password = line.partition(":")
    if not colon or not _SOURCE.fullmatch(user):
        raise ValueError("expected user:password, the user of letters, digits and ._@- only, 63 at most")
    if len(password) < MIN_PASSWORD_CHARS:
        raise ValueError(f"the password is shorter than {MIN_PASSWORD_CHARS} characters; try: openssl rand -hex 16")
    return _Secret(sha256(line.encode()).digest(), user)
