"""The chain of seals: nothing can be done to a sealed ledger that does not show, and the number is named."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from remediator.core.chain import (
    GENESIS,
    Audit,
    check_anchor,
    checkpoint_of,
    digest,
    hash_of,
    make_seal,
    micros,
)
from remediator.model.seal import Finding, Harm, Seal, StoredEntry

AT = datetime(2026, 3, 14, 3, 12, 45, 123456, tzinfo=UTC)
FIELDS = [name for name in StoredEntry.__struct_fields__ if name != "seq"]


def entry(seq: int, **changes: object) -> StoredEntry:
    """Return an entry."""
    base = StoredEntry(
        seq=seq,
        at=AT + timedelta(seconds=seq),
        kind="decision.hold",
        summary=f"nothing done: {seq}",
        incident=17,
        action=None,
        rule="r",
        target_key="deployment/a/b",
        reasons=("cooldown", "spacing"),
        data='{"left_s": 412}',
        actor="remediator",
    )
    return structs.replace(base, **changes)


def chain(*batches: Sequence[StoredEntry]) -> list[Seal]:
    """Return the seals over batches of entries."""
    seals: list[Seal] = []
    for batch in batches:
        seals.append(make_seal(seals[-1] if seals else None, batch, at=AT + timedelta(hours=1), by="me"))
    return seals


def verify(seals: Sequence[Seal], entries: Sequence[StoredEntry]) -> list[tuple[Harm, int]]:
    """Verify entries under seals; return what was done to which number."""
    audit, found = Audit(), list[Finding]()
    for seal in seals:
        after, upto = audit.covers(seal)
        found += audit.check(seal, [one for one in entries if after < one.seq <= upto])
    return [(finding.harm, finding.seq) for finding in found]


ENTRIES = [entry(seq) for seq in (1, 2, 3, 5, 6, 9, 10, 11)]
SEALS = chain(ENTRIES[:3], ENTRIES[3:6], ENTRIES[6:])


def test_a_ledger_that_nobody_touched_is_whole() -> None:
    """Numbers that were never used are no fault, and are counted."""
    audit = Audit()
    for seal in SEALS:
        after, upto = audit.covers(seal)
        assert audit.check(seal, [one for one in ENTRIES if after < one.seq <= upto]) == []
    assert (audit.sealed, audit.unused) == (8, 3)


def test_the_bytes_are_as_documented() -> None:
    """Anybody can digest an entry with what docs/reference/ledger.md says; this does it by hand."""
    one = entry(7, summary="é", action=42, reasons=("a", None))
    by_hand = (
        b"25:remediator-ledger-entry-1,1:7,16:1773457972123456,13:decision.hold,2:\xc3\xa9,2:17,2:42,1:r,"
        b'14:deployment/a/b,1:2,1:a,-,15:{"left_s": 412},10:remediator,'
    )
    assert digest(one) == hashlib.sha256(by_hand).digest()
    seal = make_seal(None, [one], at=AT, by="me")
    by_hand = (
        f"24:remediator-ledger-seal-1,1:1,64:{GENESIS.hex()},1:7,16:1773457965123456,2:me,1:1,1:7,64:{digest(one).hex()},"
    ).encode()
    assert seal.hash == hash_of(seal) == hashlib.sha256(by_hand).digest()


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_counts(field: str) -> None:
    """A change of any one shows, and is told as a change of that number."""
    value = getattr(ENTRIES[3], field)
    forged: object = {
        datetime: lambda: value + timedelta(microseconds=1),
        str: lambda: value + " ",
        int: lambda: value + 1,
        tuple: lambda: value[::-1],
    }.get(type(value), lambda: 1)()
    changed = [structs.replace(one, **{field: forged}) if one.seq == 5 else one for one in ENTRIES]
    assert verify(SEALS, changed) == [(Harm.CHANGED, 5)]


@pytest.mark.parametrize("seq", [one.seq for one in ENTRIES])
def test_a_removed_entry_is_missed(seq: int) -> None:
    """The first, the last, and any between."""
    assert verify(SEALS, [one for one in ENTRIES if one.seq != seq]) == [(Harm.GONE, seq)]


@pytest.mark.parametrize("seq", [4, 7, 8])
def test_an_inserted_entry_is_noticed(seq: int) -> None:
    """A number that was never used cannot be used later."""
    assert verify(SEALS, sorted([*ENTRIES, entry(seq)], key=lambda one: one.seq)) == [(Harm.INSERTED, seq)]


def test_entries_that_changed_places_are_named() -> None:
    """Both, and an entry that was given an unused number, too."""
    swapped = [structs.replace(ENTRIES[4], seq=5), structs.replace(ENTRIES[3], seq=6)]
    others = [one for one in ENTRIES if one.seq not in (5, 6)]
    assert verify(SEALS, [*others, *swapped]) == [(Harm.MOVED, 5), (Harm.MOVED, 6)]
    moved = [*others, ENTRIES[3], structs.replace(ENTRIES[4], seq=7)]
    assert verify(SEALS, moved) == [(Harm.GONE, 6), (Harm.MOVED, 7)]


def test_a_change_with_the_seal_adapted_to_it() -> None:
    """The forged digest does not fit the seal's hash; a new hash does not fit the next seal."""
    forged = [structs.replace(one, summary="forged") if one.seq == 5 else one for one in ENTRIES]
    half = structs.replace(SEALS[1], digests=make_seal(SEALS[0], forged[3:6], at=AT, by="me").digests)
    assert verify([SEALS[0], half, SEALS[2]], forged) == [(Harm.SEAL_CHANGED, 9)]
    whole = structs.replace(half, hash=hash_of(half))
    assert verify([SEALS[0], whole, SEALS[2]], forged) == [(Harm.SEAL_UNLINKED, 11)]


@pytest.mark.parametrize(
    "changes",
    [
        {"upto": 10},
        {"seqs": ()},
        {"seqs": (6, 5, 9)},
        {"sealed_by": "you"},
        {"sealed_at": AT},
        {"digests": b""},
        {"hash": bytes(32)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_each_field_of_a_seal_counts(changes: dict[str, object]) -> None:
    """Whatever is changed, that seal is named."""
    seals = [SEALS[0], structs.replace(SEALS[1], **changes), SEALS[2]]
    found = verify(seals, ENTRIES)
    assert Harm.SEAL_CHANGED in {harm for harm, _ in found}


def test_a_seal_that_is_gone() -> None:
    """The first, and one between; what it covered is not called forged, only not verified."""
    assert verify(SEALS[1:], ENTRIES) == [(Harm.SEAL_GONE, 9)]
    assert verify([SEALS[0], SEALS[2]], ENTRIES) == [(Harm.SEAL_GONE, 11)]


def test_a_tail_that_is_cut_off_is_noticed_by_a_checkpoint() -> None:
    """Without one a shorter chain is a good chain."""
    cut = [one for one in ENTRIES if one.seq < 10]
    assert verify(SEALS[:2], cut) == []
    found = check_anchor(checkpoint_of(SEALS[2]), None, 2)
    assert found is not None
    assert (found.harm, found.seq, found.seal) == (Harm.CUT, 11, 3)
    assert "the chain ends with seal 2" in found.message


def test_a_chain_that_was_made_anew_is_noticed_by_a_checkpoint() -> None:
    """Every hash in it is right, and none is the one that was kept."""
    forged = [structs.replace(one, summary="forged") for one in ENTRIES]
    anew = chain(forged[:3], forged[3:6], forged[6:])
    assert verify(anew, forged) == []
    for kept, made in zip(SEALS, anew, strict=True):
        assert check_anchor(checkpoint_of(kept), kept, 3) is None
        found = check_anchor(checkpoint_of(kept), made, 3)
        assert found is not None
        assert found.harm is Harm.REMADE


def test_a_seal_follows_on_what_is_kept_of_the_one_before() -> None:
    """The essence of a seal is enough to go on from."""
    assert make_seal(checkpoint_of(SEALS[0]), ENTRIES[3:6], at=SEALS[1].sealed_at, by="me") == SEALS[1]


def test_an_audit_can_begin_in_the_middle() -> None:
    """After a seal that is taken for good."""
    audit = Audit(SEALS[0])
    assert audit.check(SEALS[1], ENTRIES[3:6]) == []
    assert audit.covers(SEALS[2]) == (9, 11)


def test_time_is_exact_in_any_zone() -> None:
    """Microseconds are whole numbers, whatever zone a time is told in; before 1970, too."""
    assert micros(AT) == micros(AT.astimezone(timezone(timedelta(hours=-5)))) == 1773457965123456
    assert micros(datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)) == -1


texts = st.text(st.characters(codec=None), max_size=6)
entries = st.builds(
    StoredEntry,
    seq=st.integers(1, 9),
    at=st.datetimes(timezones=st.just(UTC)),
    kind=texts,
    summary=texts,
    incident=st.none() | st.integers(0, 9),
    action=st.none() | st.integers(0, 9),
    rule=texts,
    target_key=texts,
    reasons=st.lists(st.none() | texts, max_size=3).map(tuple),
    data=texts,
    actor=texts,
)


@given(entries, entries)
def test_different_entries_have_different_digests(one: StoredEntry, other: StoredEntry) -> None:
    """No text in one field can pass for the border to the next."""
    assert (digest(one) == digest(other)) is (one == other)


@given(st.lists(entries, min_size=1, max_size=6, unique_by=lambda one: one.seq), st.data())
def test_any_change_of_any_ledger_shows(given_entries: list[StoredEntry], data: st.DataObject) -> None:
    """However it is cut into batches: what is not the ledger that was sealed is not taken for it."""
    ordered = sorted(given_entries, key=lambda one: one.seq)
    cut = data.draw(st.integers(0, len(ordered)))
    seals = chain(*(part for part in (ordered[:cut], ordered[cut:]) if part))
    forged = data.draw(st.lists(entries, max_size=6, unique_by=lambda one: one.seq))
    present = [one for one in forged if one.seq <= ordered[-1].seq]
    assert verify(seals, ordered) == []
    assert (verify(seals, present) == []) is (sorted(present, key=lambda one: one.seq) == ordered)
