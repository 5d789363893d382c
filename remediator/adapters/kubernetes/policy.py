"""The admission policies that hold our own user to rising fences and to what its actions need, as a manifest."""

from __future__ import annotations

import json
from pathlib import Path

from remediator.model.errors import ConfigError

DEFAULT_USER = "system:serviceaccount:remediator:remediator"
LONGEST_USER = 253
_MANIFEST = Path(__file__).with_name("policy.yaml")


def service_account_user(namespace: str, name: str) -> str:
    """Return the user name that a ServiceAccount has in the cluster."""
    return f"system:serviceaccount:{namespace}:{name}"


def manifest(user: str, max_replicas: int) -> str:
    """Return the policies and their bindings as YAML for ``kubectl apply``.

    ``user`` is the name under which the API server knows us, ``max_replicas`` the most pods that a scale may ask for.
    Raises ConfigError for a user name that cannot be one.
    """
    if not user or len(user) > LONGEST_USER or not user.isprintable():
        raise ConfigError(f"{user[:60]!r} cannot be a user's name; give what `kubectl auth whoami` says")
    # A JSON string is a CEL string too, whatever quotes and backslashes the name holds.
    quoted = json.dumps(user)
    text = _MANIFEST.read_text(encoding="utf-8")
    # The name comes last: it may look like anything, and nothing in it is to be replaced.
    return text.replace("@MAX_REPLICAS@", str(max_replicas)).replace("@USER@", quoted)
