"""Reads one value of one Secret: the password of a database that is repaired, where its entry names it so."""

from __future__ import annotations

import base64
import binascii

from msgspec import Struct, field

from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.names import core_path, is_name, is_namespace
from remediator.model.errors import ClusterError


class Secret(Struct, frozen=True):
    """A Secret; what it holds is shown nowhere."""

    data: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return the names of its keys alone."""
        return f"Secret({', '.join(self.data)})"


async def secret_value(client: KubeClient, namespace: str, name: str, key: str) -> str:
    """Return one value; ClusterError where there is none, or we may not read it."""
    if not (is_namespace(namespace) and is_name(name)):
        raise ClusterError("not_found", f"{namespace}/{name} is not a name that Kubernetes allows")
    secret = await client.read(core_path(namespace, "secrets", name), Secret)
    if key not in secret.data:
        raise ClusterError("not_found", f"Secret {namespace}/{name} has no key {key}")
    try:
        return base64.b64decode(secret.data[key], validate=True).decode("utf-8").rstrip("\r\n")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ClusterError("malformed", f"key {key} of Secret {namespace}/{name} holds no text") from error
