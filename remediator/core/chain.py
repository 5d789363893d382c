"""The chain of seals over the ledger: how entries are digested, how a seal is made, and what an entry's change breaks.

docs/reference/ledger.md describes the bytes, so that anybody can verify a ledger with a program of their own. Version 1
of both forms is named in the bytes themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from msgspec import structs

from remediator.model.seal import DIGEST_BYTES, Checkpoint, Finding, Harm, Seal, StoredEntry

ENTRY_FORM = "remediator-ledger-entry-1"
SEAL_FORM = "remediator-ledger-seal-1"
GENESIS = bytes(DIGEST_BYTES)
"""What the first seal follows on."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_SUSPECTS = 64


def micros(at: datetime) -> int:
    """Return whole microseconds since 1970 in UTC: exact, for PostgreSQL keeps no finer time."""
    since = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def digest(entry: StoredEntry) -> bytes:
    """Return the SHA-256 of an entry: of its form's name and of each field in the table's order, as ``_field`` does."""
    fields: tuple[str | int | None, ...] = (
        *(ENTRY_FORM, entry.seq, micros(entry.at), entry.kind, entry.summary, entry.incident, entry.action, entry.rule),
        *(entry.target_key, len(entry.reasons), *entry.reasons, entry.data, entry.actor),
    )
    return hashlib.sha256(b"".join(map(_field, fields))).digest()


def make_seal(before: Seal | Checkpoint | None, entries: Sequence[StoredEntry], *, at: datetime, by: str) -> Seal:
    """Return the seal over ``entries`` (at least one, in order) that follows on the newest seal (None: there is none).

    ``at``: the database's time; ``by``: who seals.
    """
    number, prev = _follows(before)
    seqs = tuple(entry.seq for entry in entries)
    unfinished = Seal(
        number=number,
        upto=seqs[-1],
        seqs=seqs,
        digests=b"".join(map(digest, entries)),
        prev=prev,
        hash=b"",
        sealed_at=at,
        sealed_by=by,
    )
    return structs.replace(unfinished, hash=hash_of(unfinished))


def hash_of(seal: Seal) -> bytes:
    """Return the SHA-256 of everything in a seal but its own hash."""
    fields: tuple[str | int, ...] = (
        *(SEAL_FORM, seal.number, seal.prev.hex(), seal.upto, micros(seal.sealed_at), seal.sealed_by, len(seal.seqs)),
        *seal.seqs,
        seal.digests.hex(),
    )
    return hashlib.sha256(b"".join(map(_field, fields))).digest()


def checkpoint_of(seal: Seal) -> Checkpoint:
    """Return what is kept of a seal outside of the database."""
    return Checkpoint(seal=seal.number, seq=seal.upto, hash=seal.hash.hex(), sealed_at=seal.sealed_at)


def _field(value: str | int | None) -> bytes:
    """Return a value with its length before it: no text can pass for two fields, and none for nothing."""
    if value is None:
        return b"-,"
    data = str(value).encode("utf-8", "surrogatepass")
    return b"%d:%b," % (len(data), data)


def _follows(before: Seal | Checkpoint | None) -> tuple[int, bytes]:
    match before:
        case None:
            return 1, GENESIS
        case Seal(number=number, hash=prev):
            return number + 1, prev
        case Checkpoint(seal=number, hash=hexed):
            return number + 1, bytes.fromhex(hexed)


class Audit:
    """One walk along the chain: give it the seals in order, and for each the entries that it covers.

    ``sealed``, ``unused`` count the entries that are as they were, and the numbers that no entry has.
    """

    def __init__(self, before: Seal | None = None) -> None:
        """Begin at the start of the chain, or after the seal ``before``, which is taken for good."""
        self.before = before
        self.sealed = 0
        self.unused = 0

    def covers(self, seal: Seal) -> tuple[int, int]:
        """Return the bounds of the entries that belong to a seal: after the first number, up to the second."""
        if self._skipped(seal):
            return (seal.seqs[0] - 1 if seal.seqs else seal.upto), seal.upto
        return (self.before.upto if self.before else 0), seal.upto

    def check(self, seal: Seal, entries: Iterable[StoredEntry]) -> list[Finding]:
        """Return what is wrong with the next seal and with its entries (all that are within ``covers``)."""
        found = [*self._link(seal)]
        digests = _digests(seal)
        after, upto = self.covers(seal)
        if not found:
            self.unused += upto - after - len(digests)
        suspects: list[StoredEntry] = []
        for entry in entries:
            expected = digests.get(entry.seq)
            if expected is not None and expected == digest(entry):
                del digests[entry.seq]
                self.sealed += 1
            else:
                suspects.append(entry)
        found += _harm(seal, suspects, digests)
        self.before = seal
        return found

    def _skipped(self, seal: Seal) -> bool:
        return seal.number != (self.before.number + 1 if self.before else 1)

    def _link(self, seal: Seal) -> Iterator[Finding]:
        """Find fault with the seal itself."""
        before, number = self.before, seal.number
        if self._skipped(seal):
            first = before.number + 1 if before else 1
            which = f"seal {first} is" if number == first + 1 else f"seals {first} to {number - 1} are"
            lost = f"entries {before.upto + 1 if before else 1} to {seal.seqs[0] - 1 if seal.seqs else seal.upto}"
            yield _finding(Harm.SEAL_GONE, seal, seal.upto, f"{which} gone: {lost} cannot be verified")
        elif seal.prev != (before.hash if before else GENESIS):
            what = f"seal {before.number}" if before else "the beginning"
            yield _finding(Harm.SEAL_UNLINKED, seal, seal.upto, f"seal {number} does not follow on {what} as it is now")
        if not _well_formed(seal, self.covers(seal)[0]) or hash_of(seal) != seal.hash:
            yield _finding(Harm.SEAL_CHANGED, seal, seal.upto, f"seal {number} is not as it was made")


def check_anchor(checkpoint: Checkpoint, kept: Seal | None, head: int) -> Finding | None:
    """Compare a checkpoint with the seal of its number (None: there is none) in a chain whose newest is ``head``."""
    said = (
        f"the checkpoint of seal {checkpoint.seal} (entry {checkpoint.seq}, {checkpoint.sealed_at:%Y-%m-%d %H:%M:%S})"
    )
    if kept is None:
        end = f"the chain ends with seal {head}" if head < checkpoint.seal else "that seal is gone"
        return Finding(
            harm=Harm.CUT,
            seq=checkpoint.seq,
            seal=checkpoint.seal,
            message=f"{said}: {end}: what came after is cut off",
        )
    if (kept.hash.hex(), kept.upto) != (checkpoint.hash, checkpoint.seq):
        message = f"{said} has another hash than the seal in the ledger: the chain was made anew"
        return Finding(harm=Harm.REMADE, seq=checkpoint.seq, seal=checkpoint.seal, message=message)
    return None


def _digests(seal: Seal) -> dict[int, bytes]:
    parts = (seal.digests[start : start + DIGEST_BYTES] for start in range(0, len(seal.digests), DIGEST_BYTES))
    return dict(zip(seal.seqs, parts, strict=False))


def _well_formed(seal: Seal, after: int) -> bool:
    ascending = all(low < high for low, high in zip((after, *seal.seqs), seal.seqs, strict=False))
    return bool(seal.seqs) and ascending and seal.upto == seal.seqs[-1]


def _harm(seal: Seal, suspects: list[StoredEntry], missing: dict[int, bytes]) -> list[Finding]:
    """Name what was done to each entry that is not as it was sealed, by number."""
    found: list[Finding] = []
    present = {entry.seq for entry in suspects}
    for entry in suspects:
        at = seal.sealed_at.strftime("%Y-%m-%d %H:%M:%S")
        origin = _origin(entry, missing) if len(suspects) <= _MOST_SUSPECTS else None
        if origin is not None:
            message = f"entry {entry.seq} holds what was entry {origin} when it was sealed at {at}"
            found.append(_finding(Harm.MOVED, seal, entry.seq, message))
        elif entry.seq in missing:
            found.append(_finding(Harm.CHANGED, seal, entry.seq, f"entry {entry.seq} was changed after {at}"))
        else:
            message = f"entry {entry.seq} was inserted after {at}, when its place was sealed"
            found.append(_finding(Harm.INSERTED, seal, entry.seq, message))
    gone = (seq for seq in missing if seq not in present)
    found += [_finding(Harm.GONE, seal, seq, f"entry {seq} is gone") for seq in gone]
    return sorted(found, key=lambda finding: finding.seq)


def _origin(entry: StoredEntry, missing: dict[int, bytes]) -> int | None:
    """Return the number under which an entry was sealed, if it was moved to another."""
    for seq, expected in list(missing.items())[:_MOST_SUSPECTS]:
        if seq != entry.seq and digest(structs.replace(entry, seq=seq)) == expected:
            return seq
    return None


def _finding(harm: Harm, seal: Seal, seq: int, message: str) -> Finding:
    return Finding(harm=harm, seq=seq, seal=seal.number, message=message)
