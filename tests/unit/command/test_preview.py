"""`enlarger preview`: one photograph, one quick job, one file."""

import json
from pathlib import Path

import pytest

from pipeline.options import parse
from tests.unit.command.conftest import Invoke
from tests.unit.fake_service import FakeService, enlarged


def test_a_part_of_a_photograph_is_tried_and_fetched(enlarger: Invoke, service: FakeService, folder: Path) -> None:
    options = ["--region", "10,20,30,40", "--scale", "2", "--model", "lanczos", "--denoise", "low", "--gray"]
    result = enlarger("preview", "trip/a.jpg", "-o", "out/look.jpg", *options)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "out/look.jpg\n", "")
    assert (folder / "out" / "look.jpg").read_bytes() == enlarged(b"first")
    (request,) = service.asked("POST", "/v1/uploads")
    said = json.loads(request.content)
    wanted = {
        "region": "10,20,30,40", "scale": 2, "model": "lanczos", "denoise": "low", "gray": True, "format": "jpeg",
    }  # fmt: skip
    assert (said["ephemeral"], said["options"]) == (True, wanted)
    assert parse(wanted)


def test_the_ending_of_the_file_says_the_format(enlarger: Invoke, service: FakeService, folder: Path) -> None:
    refused = enlarger("preview", "trip/a.jpg", "-o", "look.gif")
    assert (refused.exit_code, service.requests) == (2, [])
    assert "look.gif" in refused.stderr
    enlarger("preview", "trip/a.jpg", "-o", "look.TIF")
    assert json.loads(service.asked("POST", "/v1/uploads")[0].content)["options"]["format"] == "tiff"


@pytest.mark.parametrize("force", [False, True])
def test_a_file_that_is_there_is_replaced_only_by_force(enlarger: Invoke, folder: Path, force: bool) -> None:  # noqa: FBT001
    (folder / "look.jpg").write_bytes(b"mine")
    result = enlarger("preview", "trip/a.jpg", "-o", "look.jpg", *(["--force"] if force else []))
    assert result.exit_code == (0 if force else 1)
    assert (folder / "look.jpg").read_bytes() == (enlarged(b"first") if force else b"mine")


def test_a_preview_that_fails_says_why(enlarger: Invoke, service: FakeService) -> None:
    service.path_of_job = ("queued", "failed")
    service.failure = {"code": "image_too_large", "detail": "Too much.", "hint": "Ask for a region."}
    result = enlarger("preview", "trip/a.jpg", "-o", "look.jpg", "--json")
    assert (result.exit_code, json.loads(result.stdout)["items"][0]["error"]["code"]) == (1, "image_too_large")
