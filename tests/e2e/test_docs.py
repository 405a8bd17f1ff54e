"""The commands of the README, and of the pages of options, of the bucket and of dialects, run as they stand."""

import re
from pathlib import Path

from tests.deployment import Deployment
from tests.e2e.replaying import Curl
from tests.pictures import encoded, opened, photograph

CLONE = Path(__file__).parents[2]


def commands(page: str) -> str:
    """The shell blocks of a page, without those that set up or test the clone itself."""
    blocks = re.findall(r"```sh\n(.*?)```", (CLONE / page).read_text(), re.DOTALL)
    return "\n".join(block for block in blocks if "make up" not in block and ".enlarger/env" not in block)


def programs(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (CLONE / page).read_text(), re.DOTALL)


def prepared(folder: Path) -> Path:
    """A folder with what the commands name."""
    (folder / "infra").symlink_to(CLONE / "infra")
    (folder / "photos").mkdir()
    for path in (folder / "a.jpg", folder / "photo.jpg", folder / "photos" / "b.jpg"):
        path.write_bytes(encoded(photograph(12, 10)))
    return folder


def test_every_command_of_the_readme_works_as_it_stands(enlarger: Deployment, tmp_path: Path) -> None:
    done = enlarger.run("bash", "-euxo", "pipefail", "-c", commands("README.md"), cwd=prepared(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "enlarged").rglob("*.jpg"))) >= 1
    assert '"status":"awaiting_upload"' in done.stdout.replace(" ", "")


def test_every_command_of_the_options_page_works_as_it_stands(enlarger: Deployment, tmp_path: Path) -> None:
    done = enlarger.run("bash", "-euxo", "pipefail", "-c", commands("docs/options.md"), cwd=prepared(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    enlarger.output("trip/@x4/b.jpg", seconds=120)
    enlarger.output("trip/a.jpg.webp", seconds=120)


def test_every_command_of_the_dialects_page_works_as_it_stands(
    enlarger: Deployment, replayed: Curl, tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").write_bytes(encoded(photograph(12, 10)))
    script = f"ENLARGER_URL={replayed.base}\n{commands('docs/dialects.md')}"
    done = enlarger.run("bash", "-euxo", "pipefail", "-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert opened((tmp_path / "photo-x4.png").read_bytes()).shape == (40, 48, 3)
    assert opened((tmp_path / "gray.png").read_bytes()).shape == (600, 800, 3)
    assert '"description":"before"' in done.stdout


def test_every_command_of_the_bucket_s_page_works_as_it_stands(enlarger: Deployment, tmp_path: Path) -> None:
    done = enlarger.run("bash", "-euxo", "pipefail", "-c", commands("docs/s3.md"), cwd=prepared(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    enlarger.output("holiday/@x2,m-lanczos/b.jpg")
    enlarger.output("holiday/a.jpg.webp")


def test_every_program_of_the_sdk_s_page_works_as_it_stands(enlarger: Deployment, tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    account = "echo a plain sentence | enlarger admin create dana@example.com --password-stdin"
    assert enlarger.run("bash", "-c", account).returncode == 0
    for program in programs("docs/sdk.md"):
        done = enlarger.run("python", "-c", program, cwd=folder)
        assert done.returncode == 0, program + done.stderr
    made = ["photo-x4.png", "enlarged/photo.webp", "photo-x2.webp", "x2/photo.jpg", "x2/photos/b.jpg"]
    assert [name for name in made if not (folder / name).is_file()] == []
