"""Secrets to plant, each in a place of its own, and the search for them in whatever came out."""

from __future__ import annotations

import base64
import hashlib
import string
from dataclasses import dataclass, field

_LETTERS = string.ascii_letters + string.digits
_TAIL = 6


@dataclass
class Aviary:
    """Hands canaries out by the name of their place, and finds those that escaped."""

    planted: dict[str, str] = field(default_factory=dict)

    def weak(self, place: str) -> str:
        """Return a password as people choose them: nothing in it but its place says that it is a secret."""
        return self._plant(place, f"canary{len(self.planted):02d}hunter")

    def strong(self, place: str) -> str:
        """Return a token as machines make them: 32 letters and digits."""
        digest = hashlib.sha256(place.encode()).digest()
        return self._plant(place, "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest))

    def escaped(self, outputs: dict[str, str]) -> list[str]:
        """Return where which canary was found, whole, half or in base64."""
        found = []
        for place, secret in self.planted.items():
            # Half of a secret is a secret too: a cut in the wrong place would leave one.
            spellings = {secret[:12], secret[-12:], base64.b64encode(secret.encode()).decode()[:-_TAIL]}
            found += [
                f"{place} in {output}: ...{text[max(0, text.find(one) - 80) : text.find(one) + 60]}..."
                for output, text in outputs.items()
                for one in spellings
                if one in text
            ]
        return found

    def _plant(self, place: str, secret: str) -> str:
        assert place not in self.planted
        self.planted[place] = secret
        return secret
