"""How what was recorded is kept from being changed unseen: entries as they are stored, seals over them, checkpoints."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

DIGEST_BYTES = 32
"""Of a SHA-256."""


class StoredEntry(Struct, frozen=True, kw_only=True):
    """An entry exactly as the table holds it, whatever was done to it: nothing is read into it.

    ``data`` is the text by which PostgreSQL prints the jsonb value: the same for the same value, on every version.
    """

    seq: int
    at: datetime
    kind: str
    summary: str
    incident: int | None
    action: int | None
    rule: str
    target_key: str
    reasons: tuple[str | None, ...]
    data: str
    actor: str


class Seal(Struct, frozen=True, kw_only=True):
    """One link of the chain: which entries there were up to a number, and the digest of each.

    ``prev`` is the hash of the seal before (zeros for the first), ``hash`` that of all the rest. ``digests`` holds 32
    bytes for each of ``seqs``. ``sealed_at`` is the database's time, ``sealed_by`` the replica.
    """

    number: int
    upto: int
    seqs: tuple[int, ...]
    digests: bytes
    prev: bytes
    hash: bytes
    sealed_at: datetime
    sealed_by: str


class Checkpoint(Struct, frozen=True, kw_only=True):
    """A seal's essence, kept outside of the database: who changes the whole chain cannot change this. ``hash``: hex."""

    seal: int
    seq: int
    hash: str
    sealed_at: datetime


class Harm(StrEnum):
    """What can have been done to a ledger: a closed set."""

    CHANGED = "changed"
    GONE = "gone"
    INSERTED = "inserted"
    MOVED = "moved"
    SEAL_CHANGED = "seal_changed"
    SEAL_GONE = "seal_gone"
    SEAL_UNLINKED = "seal_unlinked"
    CUT = "cut"
    REMADE = "remade"


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a ledger: where (an entry's number, the last one of a seal), and a sentence."""

    harm: Harm
    seq: int
    seal: int
    message: str
