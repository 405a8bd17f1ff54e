"""The lines that people have in their scripts, run by curl itself against a listening server."""

import base64
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tests.unit.api.dialects.conftest import JPEG, PNG, RESULT, House, Open

Curl = Callable[..., str]


@pytest.fixture
def served(opened: Open) -> Iterator[tuple[House, int]]:
    """A house on a port of its own."""
    house, client = opened()
    config = uvicorn.Config(client.app, log_config=None, lifespan="on", ws="none")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield house, listening.getsockname()[1]
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def curl(served: tuple[House, int]) -> Curl:
    """Run curl, for which `api.test` is the server."""
    there = ("--connect-to", f"api.test:80:127.0.0.1:{served[1]}")

    def run(*arguments: str) -> str:
        command = ["curl", "-sS", "--noproxy", "*", "--retry", "5", "--retry-connrefused", *there, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    return run


def told(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


def test_base64_without_a_content_type_and_a_download_without_following(curl: Curl, tmp_path: Path) -> None:
    body = json.dumps({"image": base64.b64encode(PNG).decode(), "scale": 4, "output_ext": "png"})
    answer = told(curl("-X", "POST", "http://api.test/upscale", "-H", "Authorization: Bearer token1", "-d", body))
    assert answer["upscaled_size"] == [400, 320]
    curl("-o", str(tmp_path / "out.png"), answer["download_url"])
    assert (tmp_path / "out.png").read_bytes() == RESULT


def test_a_head_of_a_download_has_its_length_and_no_body(curl: Curl) -> None:
    body = json.dumps({"image": base64.b64encode(PNG).decode(), "scale": 4})
    answer = told(curl("http://api.test/upscale", "-H", "Authorization: Bearer token2", "-d", body))
    head = curl("--head", answer["download_url"]).lower()
    assert head.startswith("http/1.1 200")
    assert f"content-length: {len(RESULT)}" in head


def test_a_form_beside_it_at_the_same_address(curl: Curl, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(JPEG)
    answer = told(curl("-X", "POST", "http://api.test/upscale", "-F", f"file=@{photo}", "-F", "scale=4"))
    assert answer["parameters"] == {"scale": 4, "face_enhance": False}
    polled = told(curl(f"http://api.test/status/{answer['job_id']}"))
    assert (polled["status"], polled["original_filename"]) == ("queued", "photo.jpg")
    canceled = told(curl("-X", "DELETE", f"http://api.test/job/{answer['job_id']}"))
    assert canceled == {"message": "Job cancelled successfully"}


def test_an_upload_that_waits_and_its_result(curl: Curl, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(PNG)
    token = ("-H", "Authorization: Bearer enl_alice")
    answer = told(curl("http://api.test/api/upload?sync=true", "-F", f"file=@{photo}", *token))
    assert answer["status"] == "completed"
    curl("-o", str(tmp_path / "gray.png"), f"http://api.test/api/images/{answer['id']}/result", *token)
    assert (tmp_path / "gray.png").read_bytes() == RESULT
