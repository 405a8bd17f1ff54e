"""`enlarger sync` through real processes: a tree of pictures up, enlarged, and back."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.deployment import Deployment
from tests.pictures import encoded, opened, photograph

PLACE = "s3://uploads/synced/@x2,m-lanczos/"
#: Endings and what pictures of theirs hold; of 20 pictures each kind has some.
KINDS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


def synced(enlarger: Deployment, folder: Path) -> list[dict[str, Any]]:
    done = enlarger.run("enlarger", "sync", "photos", PLACE, "--wait", "--back", "back", "--json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return items


def test_a_tree_comes_back_twice_as_large_and_only_what_changed_moves_again(
    enlarger: Deployment, tmp_path: Path
) -> None:
    names = [f"day {number % 3}/é {number:02}.{list(KINDS)[number % 3]}" for number in range(20)]
    for number, name in enumerate(names):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        picture = photograph(24 + number, 20)
        (tmp_path / "photos" / name).write_bytes(encoded(picture, KINDS[name.rpartition(".")[2]]))
    (tmp_path / "photos/notes.txt").write_text("no picture")

    first = synced(enlarger, tmp_path)
    assert sorted(one["key"] for one in first) == sorted(f"synced/@x2,m-lanczos/{name}" for name in names)
    assert {(one["action"], one["status"], one["fetched"]) for one in first} == {("sent", "succeeded", True)}
    back = {str(path.relative_to(tmp_path / "back")): path for path in (tmp_path / "back").rglob("*.*")}
    assert back.keys() == set(names)
    for number, name in enumerate(names):
        assert opened(back[name].read_bytes()).shape == (40, 2 * (24 + number), 3)

    again = synced(enlarger, tmp_path)
    assert {(one["action"], one["fetched"]) for one in again} == {("there", False)}
    assert {one["job_id"] for one in again} == {one["job_id"] for one in first}

    (tmp_path / "photos" / names[7]).write_bytes(encoded(np.flipud(photograph(30, 30)), "PNG"))
    changed = [one for one in synced(enlarger, tmp_path) if one["action"] == "sent"]
    assert [(one["key"].rpartition("m-lanczos/")[2], one["fetched"]) for one in changed] == [(names[7], True)]
    assert opened(back[names[7]].read_bytes()).shape == (60, 60, 3)
