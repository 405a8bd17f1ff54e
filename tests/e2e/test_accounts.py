"""Accounts on real servers: the first admin by either command, a login, and a token that a machine uses."""

import json
import subprocess
import sys

import httpx2

from infra.stack import CLONE
from tests.deployment import Deployment

PASSWORD = "a plain sentence"


def logged_in(enlarger: Deployment, email: str) -> httpx2.Client:
    url = enlarger.servers.api_url
    login = httpx2.post(f"{url}/v1/auth/login", json={"email": email, "password": PASSWORD}).raise_for_status()
    return httpx2.Client(base_url=url, headers={"authorization": f"Bearer {login.json()['access_token']}"})


def test_asvs_6_3_2_the_first_admin_is_made_beside_the_service_and_can_log_in(enlarger: Deployment) -> None:
    api = enlarger.servers.stack.service("api")
    done = subprocess.run(
        [sys.executable, "-m", "api", "admin", "create", "beside@example.com", "--password-stdin"],
        cwd=CLONE,
        env=dict(api.env),
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    with logged_in(enlarger, "beside@example.com") as http:
        assert http.get("/v1/me").raise_for_status().json()["role"] == "admin"
        assert http.get("/v1/admin/users").status_code == 200


def test_the_command_makes_an_admin_and_tokens_that_a_machine_uses_until_they_are_revoked(enlarger: Deployment) -> None:
    created = enlarger.run("bash", "-c", f"echo '{PASSWORD}' | enlarger admin create here@example.com --password-stdin")
    assert created.returncode == 0, created.stderr
    with logged_in(enlarger, "here@example.com") as http:
        assert http.get("/v1/me").raise_for_status().json()["role"] == "admin"
    made = json.loads(enlarger.run("enlarger", "tokens", "create", "camera", "--scope", "jobs:read", "--json").stdout)
    machine = {"authorization": f"Bearer {made['secret']}"}
    url = enlarger.servers.api_url
    assert httpx2.get(f"{url}/v1/jobs", headers=machine).status_code == 200
    assert httpx2.get(f"{url}/v1/tokens", headers=machine).status_code == 403
    assert enlarger.run("enlarger", "tokens", "revoke", made["token"]["id"]).returncode == 0
    assert httpx2.get(f"{url}/v1/jobs", headers=machine).status_code == 401


def test_nobody_registers_unless_a_setting_says_so(enlarger: Deployment) -> None:
    body = {"email": "stranger@example.com", "password": PASSWORD}
    refused = httpx2.post(f"{enlarger.servers.api_url}/v1/auth/register", json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "registration_closed")
