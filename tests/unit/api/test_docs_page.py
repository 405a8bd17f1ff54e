"""The page for people: vendored and unchanged, served under a strict policy, and asking nobody else."""

import base64
import hashlib
import json
import re

import pytest

from api.app import openapi
from api.routes.docs import FILES, FOLDER, POLICY
from tests.unit.api.conftest import World, problem

VENDORED = json.loads((FOLDER / "swagger-ui.json").read_text())
OWN = {"index.html", "start.js", "swagger-ui.json"}


def test_what_is_vendored_is_as_it_was_published() -> None:
    assert re.fullmatch(r"5\.\d+\.\d+", VENDORED["version"])
    assert {path.name for path in FOLDER.iterdir()} == VENDORED["files"].keys() | OWN
    for name, integrity in VENDORED["files"].items():
        digest = hashlib.sha512((FOLDER / name).read_bytes()).digest()
        assert f"sha512-{base64.b64encode(digest).decode()}" == integrity, name


def test_the_page_needs_no_token_and_allows_no_inline_script_and_no_other_host(world: World) -> None:
    page = world.nobody.get("/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert re.findall(r"<script(?![^>]* src=)|<style|style=|\son\w+=|https?:", page.text) == []


def test_everything_that_the_page_loads_is_there(world: World) -> None:
    names = re.findall(r'(?:src|href)="docs/([^"]+)"', world.nobody.get("/docs").text)
    assert sorted(names) == sorted(FILES)
    for name in names:
        file = world.nobody.get(f"/docs/{name}")
        assert file.content == (FOLDER / name).read_bytes()
        assert file.headers["content-type"] == f"{FILES[name]}; charset=utf-8"
        assert "'unsafe" not in file.headers["content-security-policy"]


def test_the_page_shows_this_service_s_description_and_asks_no_validator(world: World) -> None:
    script = world.nobody.get("/docs/start.js").text
    (url,) = re.findall(r'url: "(.+)"', script)
    assert world.nobody.get(f"/{url}").json() == openapi()
    assert "validatorUrl: null" in script
    assert "https:" not in script


@pytest.mark.parametrize("name", ["index.html", "swagger-ui.json", "..", "..%2Fapp.py", "%2e%2e%2fapp.py", "LICENSE"])
def test_no_other_file_is_served(world: World, name: str) -> None:
    assert problem(world.nobody.get(f"/docs/{name}")) == (404, "not_found")


def test_only_the_page_has_a_policy_of_its_own(world: World) -> None:
    assert world.nobody.get("/openapi.json").headers["content-security-policy"] != POLICY
    assert world.nobody.get("/docs/nothing").headers["content-security-policy"] != POLICY
