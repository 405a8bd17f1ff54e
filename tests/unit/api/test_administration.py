"""`python -m api admin create`: an admin where there is none yet, without a service and without a default."""

import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from api.administration import main
from pipeline.adapters.memory import documents
from pipeline.adapters.memory_audit import MemoryAudit
from pipeline.adapters.memory_users import MemoryUsers
from pipeline.ports.documents import Documents

EMAIL = "carol@example.com"
COMMAND = ["admin", "create", EMAIL, "--password-stdin"]


@pytest.fixture
def stores() -> Documents:
    return documents()


@pytest.fixture
def users(stores: Documents) -> MemoryUsers:
    assert isinstance(stores.users, MemoryUsers)
    return stores.users


@pytest.fixture
def run(stores: Documents) -> Callable[..., int]:
    """Run one command line with a text as stdin; its exit status."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Documents]:
        yield stores

    def call(arguments: list[str], stdin: str = "a plain sentence\n") -> int:
        return main(arguments, stdin=io.StringIO(stdin), documents=opened)

    return call


def test_an_admin_is_made_with_a_strong_hash(
    run: Callable[..., int], users: MemoryUsers, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(COMMAND) == 0
    (made,) = users.users.values()
    assert (made.email, made.role, made.disabled) == (EMAIL, "admin", False)
    assert made.password_hash.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert f"{EMAIL} is an admin now, as owner {made.owner}\n" in capsys.readouterr().out


def test_an_admin_can_be_an_owner_that_is_there(run: Callable[..., int], users: MemoryUsers) -> None:
    assert run([*COMMAND, "--owner", "default"]) == 0
    assert list(users.users) == ["default"]


def test_a_second_account_of_an_address_is_refused(
    run: Callable[..., int], users: MemoryUsers, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [run(COMMAND), run(COMMAND)] == [0, 1]
    assert len(users.users) == 1
    assert "error: account_exists" in capsys.readouterr().err


def test_a_password_that_is_tried_first_is_refused_and_not_repeated(
    run: Callable[..., int], users: MemoryUsers, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(COMMAND, "webster1\n") == 1
    said = capsys.readouterr().err
    assert "error: password_common" in said
    assert "webster1" not in said
    assert users.users == {}


def test_asvs_16_2_1_that_an_admin_was_made_or_refused_is_written_down(
    run: Callable[..., int], stores: Documents, users: MemoryUsers
) -> None:
    run(COMMAND)
    run(COMMAND)
    (owner,) = users.users
    assert isinstance(stores.audit, MemoryAudit)
    entries = stores.audit.entries.values()
    assert {(entry.by, entry.action, entry.target) for entry in entries} == {("python -m api", "admin create", EMAIL)}
    assert [(entry.status, entry.details) for entry in entries] == [(201, {"owner": owner, "role": "admin"}), (409, {})]


@pytest.mark.parametrize(
    ("arguments", "stdin", "named"),
    [
        (COMMAND, "", "password"),
        (COMMAND, "short\n", "password"),
        (["admin", "create", "carol", "--password-stdin"], "a plain sentence\n", "email"),
        ([*COMMAND, "--owner", "a/b"], "a plain sentence\n", "owner"),
    ],
)
def test_what_makes_no_admin_is_named_and_not_repeated(
    run: Callable[..., int],
    users: MemoryUsers,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    stdin: str,
    named: str,
) -> None:
    assert run(arguments, stdin) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {named}: ")
    assert not stdin or stdin.strip() not in said
    assert users.users == {}
