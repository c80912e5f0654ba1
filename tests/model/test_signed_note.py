"""Signed notes are those of other C2SP programs, and no changed byte is accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model import signed_note
from rollout.model.signed_note import NoteError, parse_signer, parse_verifier, sign, verify

VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
NOTE = (
    f"{TEXT}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqd"
    "ngotpRZb6KE6RyyBwJnAM=\n"
)
"""The example in the documentation of golang.org/x/mod/sumdb/note."""
OTHER = signed_note.signer_of("other", b"\1" * 32)


def test_the_published_example_is_signed_and_verified() -> None:
    """Keys, hash and signature are those of the reference implementation."""
    signer, verifier = parse_signer(SIGNER), parse_verifier(VERIFIER)

    assert signer.verifier == verifier and str(verifier) == VERIFIER
    assert signer.secret_text() == SIGNER
    assert sign(TEXT, signer) == NOTE
    assert verify(NOTE, [verifier]) == (TEXT, [verifier])


def test_signatures_of_unknown_keys_are_ignored() -> None:
    """A note may have more signatures; only known keys count, each once."""
    second = sign(TEXT, OTHER).rpartition("\n\n")[2]
    known = parse_verifier(VERIFIER)

    assert verify(NOTE + second + second, [OTHER.verifier]) == (TEXT, [OTHER.verifier])
    assert verify(NOTE + second, [known, OTHER.verifier]) == (TEXT, [known, OTHER.verifier])
    assert verify(NOTE, []) == (TEXT, [])


@given(st.integers(0, len(NOTE) - 1), st.characters(codec="utf-8"))
def test_no_changed_character_is_accepted(position: int, character: str) -> None:
    """A change is detected, or it removes the signature of the known key."""
    changed = NOTE[:position] + character + NOTE[position + 1 :]
    try:
        text, signers = verify(changed, [parse_verifier(VERIFIER)])
    except NoteError:
        return

    assert not signers or (text == TEXT and changed == NOTE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "a b+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        VERIFIER.replace("c74f20a3", "c74f20a4"),
        VERIFIER.replace("PeterNeumann", "Peter"),
        VERIFIER.replace("+AR", "+AB"),
        VERIFIER[:-4],
        VERIFIER + "\n",
        SIGNER,
    ],
)
def test_a_malformed_verifier_key_is_refused(text: str) -> None:
    """So is a private key in its place, which the message does not repeat."""
    with pytest.raises(NoteError) as caught:
        parse_verifier(text)

    assert "AYEKFALVFGyNhPJEMzD1" not in str(caught.value)


def test_a_private_key_is_printed_without_its_secret() -> None:
    """Neither `repr` nor an error contains the private half."""
    secret = SIGNER.rpartition("+")[2]

    assert secret not in f"{parse_signer(SIGNER)!r}"
    with pytest.raises(NoteError) as caught:
        parse_signer(SIGNER.replace("c74f20a3", "00000000"))
    assert secret not in str(caught.value)
