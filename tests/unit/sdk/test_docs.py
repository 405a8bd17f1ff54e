"""The Python of the docs, run as it stands against a service in memory."""

import re
from pathlib import Path

import pytest

import enlarger
from enlarger import errors
from tests.unit.fake_service import API, TOKEN, FakeTime
from tests.unit.sdk.conftest import BODY, wire
from tests.unit.sdk.fake_accounts import FakeAccounts

CLONE = Path(__file__).parents[3]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (CLONE / page).read_text(), re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the programs run: the photographs that they name, and the service."""
    for name in ("photo.jpg", "photos/b.jpg", "infra/sample/photo.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(BODY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENLARGER_URL", API)
    monkeypatch.setenv("ENLARGER_TOKEN", TOKEN)
    wire(monkeypatch, FakeAccounts(time), time)
    return tmp_path


@pytest.mark.parametrize(
    ("page", "block", "made"),
    [
        ("README.md", 0, ["photo-x2.png"]),
        ("docs/sdk.md", 0, ["photo-x4.png"]),
        ("docs/sdk.md", 1, ["enlarged/photo.webp"]),
        ("docs/sdk.md", 2, ["photo-x2.webp"]),
        ("docs/sdk.md", 3, ["x2/photo.jpg", "x2/photos/b.jpg"]),
        ("docs/sdk.md", 4, ["session"]),
    ],
)
def test_an_example_works_as_it_stands(folder: Path, page: str, block: int, made: list[str]) -> None:
    exec(compile(blocks(page)[block], page, "exec"), {"__name__": "__main__"})  # noqa: S102 - our own page
    assert [name for name in made if not (folder / name).is_file()] == []


def test_the_example_of_the_package_works_as_it_stands(folder: Path) -> None:
    _, _, program = (enlarger.__doc__ or "").partition("import enlarger")
    exec(f"import enlarger{program}".replace("...", TOKEN), {})  # noqa: S102 - our own
    assert {"photo-x4.png", "photo-x4.jpg"} <= {path.name for path in folder.iterdir()}


def test_no_example_is_left_out() -> None:
    assert [len(blocks(page)) for page in ("README.md", "docs/sdk.md")] == [1, 5]


def test_every_code_of_the_sdk_stands_on_its_page() -> None:
    page = (CLONE / "docs" / "sdk.md").read_text()
    said = set(re.findall(r"`(\w+_\w+)`", page.rpartition("the SDK's own:")[2]))
    source = "".join(path.read_text() for path in Path(enlarger.__file__).parent.glob("*.py"))
    raised = set(re.findall(r'code="(\w+)"', source)) | {"job_canceled", "job_expired", "job_not_finished"}
    assert said == raised
    told = errors.EnlargerError.__doc__ or ""
    assert [code for code in said if f"`{code}`" not in told] == []
