"""The two ends: who may post alerts to us, and whether people can be told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from remediator.adapters.notify import check_token_file
from remediator.doctor.finding import Finding, Grade, Look
from remediator.model.errors import ConfigError
from remediator.ports.clock import Clock
from remediator.ports.observer import StageEvent
from remediator.settings import LOOPBACK, Settings
from remediator.web.serving import WebOptions, prepare
from remediator.web.tls import TlsFiles

WEBHOOKS, PEOPLE = "webhooks", "people"
CONNECT_S = 4.0
_PORTS = {"https": 443, "http": 80}


@dataclass(slots=True)
class _Ear:
    """Implements ports.observer.Observer: hears what reading the files has to say."""

    heard: list[StageEvent] = field(default_factory=list)

    def tell(self, event: StageEvent) -> None:
        self.heard.append(event)


def webhooks(settings: Settings, clock: Clock) -> Look:
    """Look at what guards the port; the files are read, and nobody listens."""
    certificate, key = settings.tls_cert, settings.tls_key
    host, port = settings.listen
    options = WebOptions(
        host=host,
        port=port,
        tls=TlsFiles(certificate, key, settings.tls_client_ca) if certificate and key else None,
        token_file=settings.webhook_token_file,
        basic_file=settings.webhook_basic_auth_file,
    )
    ear = _Ear()
    try:
        prepare(options, clock, ear)
    except ConfigError as error:
        advice = "correct the file, or name another"
        return Look(findings=tuple(_finding(WEBHOOKS, "files", Grade.STOP, one, advice) for one in error.problems))
    return Look(findings=(_authentication(settings), _encryption(settings), *map(_heard, ear.heard)))


def _authentication(settings: Settings) -> Finding:
    ways = [
        name
        for name, given in (
            ("bearer token", settings.webhook_token_file),
            ("basic authentication", settings.webhook_basic_auth_file),
            ("client certificate", settings.tls_client_ca),
        )
        if given is not None
    ]
    if ways:
        return _finding(WEBHOOKS, "authentication", Grade.OK, f"on: {' or '.join(ways)}")
    advice = "give --webhook-token-file (REMEDIATOR_WEBHOOK_TOKEN_FILE)"
    grade = Grade.NOTE if settings.insecure_no_auth and settings.listen[0] in LOOPBACK else Grade.STOP
    return _finding(WEBHOOKS, "authentication", grade, "off: whoever reaches the port may post alerts", advice)


def _encryption(settings: Settings) -> Finding:
    host, port = settings.listen
    if settings.tls_cert is not None:
        return _finding(WEBHOOKS, "encryption", Grade.OK, f"on, at {host}:{port}")
    if host in LOOPBACK:
        return _finding(WEBHOOKS, "encryption", Grade.OK, f"off, and only this machine reaches {host}:{port}")
    advice = "give --tls-cert and --tls-key, unless something in front of it encrypts"
    return _finding(WEBHOOKS, "encryption", Grade.NOTE, f"off, at {host}:{port}", advice)


def _heard(event: StageEvent) -> Finding:
    words = ", ".join(f"{name} {value}" for name, value in event.fields.items())
    return _finding(WEBHOOKS, "files", Grade.NOTE, f"{event.outcome.replace('_', ' ')}: {words}")


async def people(url: str | None, token_file: Path | None) -> Look:
    """Look whether the target of messages takes connections. No message is sent, and its path is told to nobody."""
    if url is None:
        advice = "give --notify-url (REMEDIATOR_NOTIFY_URL)"
        return Look(findings=(_finding(PEOPLE, "target", Grade.GAP, "none: messages only go to the log", advice),))
    findings = []
    if token_file is not None:
        try:
            check_token_file(token_file)
        except ConfigError as error:
            findings.append(_finding(PEOPLE, "token", Grade.STOP, "; ".join(error.problems), "correct the file"))
    parts = urlsplit(url)
    place = f"{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(
                parts.hostname, parts.port or _PORTS[parts.scheme], ssl=parts.scheme == "https" or None
            )
            writer.close()
    except TimeoutError:
        findings.append(_deaf(place, f"does not answer within {CONNECT_S:g} s"))
    except OSError as error:
        findings.append(_deaf(place, f"takes no connection: {error.strerror or type(error).__name__}"))
    else:
        words = f"{place} takes connections; whether it takes messages shows the first one"
        findings.append(_finding(PEOPLE, "target", Grade.OK, words))
    return Look(findings=tuple(findings))


def _deaf(place: str, why: str) -> Finding:
    advice = "correct --notify-url, or let this host reach it: until then nobody is told anything"
    return _finding(PEOPLE, "target", Grade.STOP, f"{place} {why}", advice)


def _finding(area: str, what: str, grade: Grade, found: str, advice: str = "") -> Finding:
    return Finding(area=area, what=what, grade=grade, found=found, advice=advice)
