"""How people are told: one POST of JSON to a webhook, or, where none is configured, a loud line in the log."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import structlog

from remediator import __version__
from remediator.model.errors import ConfigError, NotifyError

LONGEST_RETRY_AFTER = 3600.0
_TIMEOUT_S = 10.0
_CONNECT_S = 3.0
_TOO_MANY = 429

_log = structlog.get_logger(__name__)


class WebhookNotifier:
    """Implements ports.notifier.Notifier over HTTP.

    Each notification is posted with an ``Idempotency-Key`` that stays the same however often it is tried, and is no
    other message's, also where a database that was restored counts on from an earlier number; any 2xx means delivered.
    Reasons of its NotifyError: ``unreachable``, ``timeout``, ``unavailable`` (5xx), ``throttled`` (429), ``refused``
    (other 4xx), ``redirected``, ``token`` (the token file cannot be read). A redirect is never followed: it would lead
    the token elsewhere, or turn the POST into a GET that says 200.
    """

    def __init__(
        self, session: aiohttp.ClientSession, url: str, *, token_file: Path | None = None, timeout_s: float = _TIMEOUT_S
    ) -> None:
        """Post to ``url`` with ``session``, which others may share; the token file is read anew each time."""
        self._session = session
        self._url = url
        self._token_file = token_file
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(_CONNECT_S, timeout_s))

    async def send(self, notification_id: int, payload: dict[str, Any]) -> str:
        """Deliver one notification or raise NotifyError."""
        body = msgspec.json.encode({"id": notification_id, **payload})
        headers = await self._headers(notification_id, body)
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                status, retry_after = response.status, _retry_after(response.headers.get("Retry-After"))
        except TimeoutError as error:
            raise NotifyError("timeout", f"no answer within {self._timeout.total:g} s", retryable=True) from error
        except (aiohttp.ClientError, OSError) as error:
            # The text of the error may hold the address, and the address a secret.
            raise NotifyError("unreachable", f"no connection: {type(error).__name__}", retryable=True) from error
        _check(status, retry_after)
        return "posted to the webhook"

    async def _headers(self, notification_id: int, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"remediator-notification-{notification_id}-{hashlib.sha256(body).hexdigest()[:16]}",
            "User-Agent": f"remediator/{__version__}",
        }
        if self._token_file is not None:
            try:
                token = await asyncio.to_thread(_token, self._token_file)
            except ValueError as error:
                raise NotifyError("token", str(error), retryable=True) from error
            headers["Authorization"] = f"Bearer {token}"
        return headers


def check_token_file(path: Path) -> None:
    """Raise ConfigError for a file that no token can be read from: better at the start than at night."""
    try:
        _token(path)
    except ValueError as error:
        raise ConfigError(f"--notify-token-file {error}") from error


def _token(path: Path) -> str:
    """Return the token in a file; raises ValueError naming the file."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must hold one token and nothing else") from error
    if not token or any(mark.isspace() for mark in token):
        raise ValueError(f"{path}: must hold one token and nothing else")
    return token


class LogNotifier:
    """Implements ports.notifier.Notifier where nobody said whom to tell: nothing is lost, it is in the log."""

    def __init__(self, how_to_configure: str) -> None:
        """Take the sentence that tells how to have notifications sent to people; it goes with every line."""
        self._hint = how_to_configure

    async def send(self, notification_id: int, payload: dict[str, Any]) -> str:
        """Write the notification to the log, as a warning."""
        _log.warning("notification_for_people", notification=notification_id, payload=payload, not_sent=self._hint)
        return f"only written to the log: {self._hint}"


def _check(status: int, retry_after: float | None) -> None:
    match status // 100:
        case 2:
            return
        case 3:
            reason, retryable = "redirected", False
        case 4 if status == _TOO_MANY:
            reason, retryable = "throttled", True
        case 4:
            reason, retryable = "refused", False
        case _:
            reason, retryable = "unavailable", True
    raise NotifyError(reason, f"the webhook answered {status}", retryable=retryable, retry_after=retry_after)


def _retry_after(value: str | None) -> float | None:
    # A date is left to our own back-off: comparing it with our clock would trust two clocks to agree.
    if value is None or not (value.isascii() and value.isdigit() and len(value) < 10):  # noqa: PLR2004 - fits a float
        return None
    return min(float(value), LONGEST_RETRY_AFTER)
