"""Foreign text made fit to be kept."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.intake.scrub import hide_secrets, scrub, spell_controls
from remediator.redaction import MARK

CANARY = "hunter2hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"https://user:{CANARY}@host/path",
        f"postgresql://{CANARY}@host/db",
        f"Authorization: Bearer {CANARY}",
        f"authorization: basic {CANARY}==",
        f"password={CANARY}",
        f"PASSWORD : '{CANARY} x'",
        f'"password": "{CANARY} with spaces"',
        f'{{\\"token\\": \\"{CANARY} b\\"}}',
        f"api-key={CANARY}&x=1",
        f"db_password={CANARY}",
        f"cookie: {CANARY}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
        f"eyJhbGciOiJIUzI1NiJ9.eyJ{CANARY}.{CANARY}",
        f"ghp_{CANARY}{CANARY}",
    ],
)
def test_secrets_are_hidden(text: str) -> None:
    """Whatever looks like a credential is gone, and a mark says so."""
    assert CANARY not in hide_secrets(text)
    assert MARK in hide_secrets(text)


@pytest.mark.parametrize("text", ["token expired", "http://host/path@2", "basic auth", "restarts: 5", "a=b"])
def test_plain_text_stays(text: str) -> None:
    """Words about secrets are no secrets."""
    assert hide_secrets(text) == text


def test_control_characters_are_spelt() -> None:
    """Nothing of a foreign text can move a cursor, reorder a line or begin a new one."""
    assert spell_controls("a\x1b[31m\n\t\r\x7f\u202e\x9b\ud800") == "a\\x1b[31m\\n\\t\\r\\x7f\\u202e\\x9b\\ud800"
    assert spell_controls("a\n\tb\x1b\r", keep_breaks=True) == "a\n\tb\\x1b\\r"


def test_cut_is_marked() -> None:
    """The limit holds, and whoever reads sees that something is missing."""
    assert scrub("x" * 10, 10) == "x" * 10
    assert scrub("x" * 11, 10) == "x" * 9 + "…"
    assert scrub("password=" + "x" * 500, 20) == f"password={MARK}…"


def test_a_secret_at_the_cut_is_hidden_whole() -> None:
    """Cutting first would leave half of it, and half a token is no token that a pattern knows."""
    assert "hunter" not in scrub("x" * 30 + f" https://u:{CANARY}@h/", 45)


@given(st.text(max_size=300), st.integers(2, 100))
def test_always_bounded_and_printable(text: str, limit: int) -> None:
    """Whatever comes in."""
    clean = scrub(text, limit)
    assert len(clean) <= limit
    assert clean == spell_controls(clean)


def test_patterns_are_linear() -> None:
    """No text makes them slow: a megabyte of the worst prefixes in under five seconds."""
    begun = time.monotonic()
    for worst in ("a" * 31, "password=", "bearer ", "eyJ", "://", "-----BEGIN ", "token: '", 'secret="\\'):
        hide_secrets(worst * (200_000 // len(worst)))
    assert time.monotonic() - begun < 5
