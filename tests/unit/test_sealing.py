"""Webhook secrets at rest: what is stored says nothing, passwords change, and nothing is lost by a missing one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from notifier.addresses import Address
from notifier.signing import signed_headers
from pipeline.endpoints import Secret
from pipeline.sealing import Seal, is_sealed
from tests.making import NOON

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD, NEW = "the password of last year is long enough", "the password of this year is long enough"


@given(st.text(min_size=1).filter(lambda text: not is_sealed(text)))
def test_what_is_sealed_opens_as_it_was_and_tells_nothing_before(secret: str) -> None:
    sealed = Seal([NEW]).seal(secret)
    assert is_sealed(sealed)
    assert Seal([NEW]).open(sealed) == secret
    if len(secret) > 3:
        assert secret not in sealed


def test_the_same_secret_never_looks_the_same_twice() -> None:
    assert len({Seal([NEW]).seal(SECRET) for _ in range(50)}) == 50


def test_a_plain_secret_of_an_earlier_version_is_read_as_it_is() -> None:
    assert Seal([NEW]).open(SECRET) == SECRET


def test_a_new_password_in_front_opens_what_the_old_one_sealed_and_seals_with_itself() -> None:
    sealed, both = Seal([OLD]).seal(SECRET), Seal.of(f"{NEW}, {OLD}")
    assert both.open(sealed) == SECRET
    assert Seal([NEW]).open(both.seal(SECRET)) == SECRET
    assert is_sealed(Seal([OLD]).open(both.seal(SECRET)))


@pytest.mark.parametrize("stored", [SECRET, Seal([OLD]).seal(SECRET)])
def test_what_is_not_under_the_newest_password_is_renewed_once(stored: str) -> None:
    both = Seal([NEW, OLD])
    renewed = both.renewed(stored)
    assert renewed is not None
    assert Seal([NEW]).open(renewed) == SECRET
    assert both.renewed(renewed) is None


@pytest.mark.parametrize("passwords", [[], [NEW]])
def test_what_no_password_opens_stays_as_it_is_and_signs_nothing(passwords: list[str]) -> None:
    """Written back by whoever changes something else, it can still be opened once its password is back."""
    sealed, seal = Seal([OLD]).seal(SECRET), Seal(passwords)
    with capture_logs() as logged:
        kept = seal.open(sealed)
    assert seal.seal(kept) == kept == sealed
    assert seal.renewed(sealed) is None
    assert [entry["event"] for entry in logged] == ["secret.unreadable"]
    assert sealed not in str(logged)
    with pytest.raises(ValueError, match="cannot be opened"):
        signed_headers((SECRET, kept), "evt_1", b"{}", NOON)


def test_a_sealed_text_that_was_changed_is_not_opened() -> None:
    sealed = Seal([NEW]).seal(SECRET)
    broken = sealed[:40] + ("A" if sealed[40] != "A" else "B") + sealed[41:]
    for text in (broken, sealed[:-4], "fernet:", "fernet:é"):
        assert Seal([NEW]).open(text) == text


def test_without_a_password_nothing_is_written_plain() -> None:
    with pytest.raises(LookupError, match="ENLARGER_PASSWORD_WEBHOOKS"):
        Seal().seal(SECRET)


def test_who_prints_what_holds_a_secret_prints_none() -> None:
    assert SECRET not in repr((Secret(SECRET, NOON), Address("https://a.example", (SECRET,))))
