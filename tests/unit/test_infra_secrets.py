"""Secrets of an installation: made once, private, and the same through a file and through the environment."""

import stat
from pathlib import Path

import pytest

from infra.errors import SetupError
from infra.secrets import ACCOUNTS, from_environment, generate, load_or_create


def test_secrets_stay_the_same_once_they_are_written(tmp_path: Path) -> None:
    first = load_or_create(tmp_path / "secrets.json")
    assert load_or_create(tmp_path / "secrets.json") == first


def test_secrets_are_readable_by_their_owner_alone_and_leave_no_draft(tmp_path: Path) -> None:
    load_or_create(tmp_path / "secrets.json")
    (written,) = tmp_path.iterdir()
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_every_account_has_a_password_of_its_own_that_needs_no_escaping() -> None:
    passwords = generate().passwords
    assert set(passwords) == set(ACCOUNTS)
    assert len(set(passwords.values())) == len(ACCOUNTS)
    assert all(len(bytes.fromhex(password)) == 20 for password in passwords.values())


def test_the_environment_carries_all_secrets() -> None:
    secrets = generate()
    assert from_environment(secrets.environment()) == secrets


def test_a_missing_password_is_named() -> None:
    environment = generate().environment()
    del environment["ENLARGER_PASSWORD_INGEST"]
    with pytest.raises(SetupError, match="set ENLARGER_PASSWORD_INGEST:"):
        from_environment(environment)
