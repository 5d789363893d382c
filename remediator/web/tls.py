"""TLS for the listening port, and client certificates."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from remediator.model.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. With ``client_ca``, webhooks need a certificate that this authority has signed."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return what the server speaks TLS with; raises ConfigError with every file that cannot be used.

    A client certificate is asked for and verified if one comes; that one has to come is checked for the webhook only,
    because whoever probes ``/livez`` has none.
    """
    problems: list[str] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (OSError, ValueError) as error:
        problems.append(
            f"--tls-cert {files.certificate}, --tls-key {files.key}: no usable pair of PEM files: {_why(error)}"
        )
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (OSError, ValueError) as error:
            problems.append(f"--tls-client-ca {files.client_ca}: no usable PEM file: {_why(error)}")
        context.verify_mode = ssl.CERT_OPTIONAL
    if problems:
        raise ConfigError(*problems)
    return context


def _no_password() -> str:
    """Refuse an encrypted key instead of asking for its password on a terminal that is not there."""
    raise ValueError("the key is encrypted; give one without a passphrase")


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not PEM"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
