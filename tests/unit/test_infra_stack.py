"""What processes are told: their own credentials and nobody else's, in URLs that services can use."""

import importlib
import json
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api.settings import Settings
from infra.addresses import OBJECT_USERS, SERVICES, Addresses
from infra.bootstrap.policies import POLICIES
from infra.envfile import owner_environment, write
from infra.loglines import Journal, readable
from infra.secrets import ACCOUNTS
from infra.stack import NATS_CONFIG, Stack, minio_environment, nats_environment
from pipeline.topology import DURABLES, STREAMS
from tests.servers import new_stack


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return new_stack(tmp_path)


def test_only_who_has_an_account_at_the_object_store_is_told_where_it_is(stack: Stack) -> None:
    told = {name for name in SERVICES if "ENLARGER_MINIO_URL" in stack.service(name).env}
    assert told == set(OBJECT_USERS) == set(POLICIES) & set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_time_to_give_back_its_work_before_it_is_killed(stack: Stack, service: str) -> None:
    grace: float = importlib.import_module(f"{service}.__main__").GRACE_SECONDS
    assert stack.service(service).stop_seconds >= grace + 10


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_told_its_own_password_and_no_other(stack: Stack, service: str) -> None:
    told = json.dumps(dict(stack.service(service).env))
    shared = {"api": {"tenants", "sessions", "webhooks"}, "notifier": {"webhooks"}}
    known = {account for account, password in stack.secrets.passwords.items() if password in told}
    assert known == {service, *shared.get(service, set())}
    assert stack.secrets.token not in told


def test_settings_of_a_person_reach_services_but_credentials_do_not(stack: Stack) -> None:
    stack = new_stack(
        stack.folders.root, {"ENLARGER_DEVICE": "cpu", "ENLARGER_TOKEN": "t", "ENLARGER_PASSWORD_API": "p"}
    )
    told = stack.service("ingest").env
    assert told["ENLARGER_DEVICE"] == "cpu"
    assert not {"ENLARGER_TOKEN", "ENLARGER_PASSWORD_API"} & set(told)


def test_what_services_that_are_replaced_call_our_settings_reaches_the_api_alone(stack: Stack) -> None:
    given = {"VALID_TOKENS": "one", "ENLARGER_TOKENS": "two", "ACCESS_TOKEN_EXPIRE_MINUTES": "15"}
    stack = new_stack(stack.folders.root, given)
    assert given.items() <= stack.service("api").env.items()
    assert not given.keys() & stack.service("processors").env.keys()


def test_our_bus_tells_its_figures_to_the_api_on_loopback(stack: Stack) -> None:
    port = str(stack.ports["nats_monitor"])
    argv = " ".join(stack.nats(Path("nats-server")).argv)
    assert f"-a 127.0.0.1 -p {stack.ports['nats']} -m {port}" in argv  # -a holds for both
    told = {name: stack.service(name).env.get("ENLARGER_NATS_MONITOR_URL") for name in SERVICES}
    assert told == dict.fromkeys(SERVICES) | {"api": f"http://127.0.0.1:{port}"}


def test_a_bus_that_is_not_ours_tells_its_figures_where_a_setting_says(stack: Stack) -> None:
    other = replace(stack, external=frozenset({"nats"}))
    assert "ENLARGER_NATS_MONITOR_URL" not in other.service("api").env
    own = replace(stack, environment={"ENLARGER_NATS_MONITOR_URL": "http://bus:8222"})
    assert own.service("api").env["ENLARGER_NATS_MONITOR_URL"] == "http://bus:8222"


@pytest.mark.parametrize("name", ["ENLARGER_TOKENS", "VALID_TOKENS"])
def test_tokens_of_a_dialect_reach_the_api_and_nobody_else(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stack = new_stack(stack.folders.root, {name: "token1,token2", "ENLARGER_TOKEN": "t"})
    told = {service: dict(stack.service(service).env) for service in SERVICES}
    assert [service for service, env in told.items() if "token1" in str(env)] == ["api"]
    for variable, value in told["api"].items():
        monkeypatch.setenv(variable, value)
    assert Settings().tokens.get_secret_value() == "token1,token2"


def test_urls_of_an_account_keep_hosts_and_name_the_database() -> None:
    root = Addresses("https://r:p@s3.example:9000", "nats://r:p@bus:4222", "mongodb://r:p@a:1,b:2/?replicaSet=x")
    own = root.of("api", "secret")
    assert own.minio == "https://api:secret@s3.example:9000"
    assert own.nats == "nats://api:secret@bus:4222"
    assert own.mongo == "mongodb://api:secret@a:1,b:2/enlarger?replicaSet=x&authSource=enlarger"


def test_a_bus_that_is_not_ours_keeps_its_credentials() -> None:
    root = Addresses("http://r:p@a:1", "nats://somebody:p@bus:4222", "mongodb://r:p@a:1", shared_nats=True)
    assert root.of("api", "secret").nats == "nats://somebody:p@bus:4222"


def test_nats_reads_every_password_as_text(stack: Stack) -> None:
    """A bare value that starts with a digit would be a number to nats-server."""
    environment = nats_environment(stack.secrets, "/store")
    wanted = set(re.findall(r"\$(ENLARGER_\w+)", NATS_CONFIG.read_text()))
    elsewhere = ("owner", "tenants", "sessions", "webhooks")
    assert (
        wanted
        == set(environment)
        == {
            *(f"ENLARGER_PASSWORD_{name.upper()}" for name in ACCOUNTS if name not in elsewhere),
            "ENLARGER_NATS_STORE",
        }
    )
    assert all(json.loads(environment[name]) for name in wanted)


def test_every_durable_and_every_dead_letter_has_a_user_that_may_use_it() -> None:
    config = NATS_CONFIG.read_text()
    for durable in DURABLES:
        assert f'"$JS.API.CONSUMER.MSG.NEXT.{durable.stream}.{durable.name}"' in config
        assert f'"$JS.ACK.{durable.stream}.{durable.name}.>"' in config
        assert f'"dead.{durable.stream}"' in config
    assert {durable.stream for durable in DURABLES} < {stream.name for stream in STREAMS}


def test_only_the_durable_target_has_a_queue_folder_and_both_wait_for_jetstream(stack: Stack) -> None:
    environment = minio_environment(stack.secrets, "nats://bus:4222", "/queue")
    assert [name for name, value in environment.items() if value == "/queue"] == ["MINIO_NOTIFY_NATS_QUEUE_DIR_DURABLE"]
    assert environment["MINIO_NOTIFY_NATS_JETSTREAM_FAST"] == environment["MINIO_NOTIFY_NATS_JETSTREAM_DURABLE"] == "on"


@pytest.mark.parametrize(
    ("bus", "address", "user", "password"),
    [
        ("nats://bus.example:5222", "bus.example:5222", "minio", None),
        ("nats://me:p%40ss@bus.example", "bus.example:4222", "me", "p@ss"),
        ("nats://me:secret@[::1]:4222", "[::1]:4222", "me", "secret"),
    ],
)
def test_targets_open_a_bus_with_the_credentials_of_its_url_else_with_ours(
    stack: Stack, bus: str, address: str, user: str, password: str | None
) -> None:
    told = minio_environment(stack.secrets, bus, "/queue")
    for target in ("FAST", "DURABLE"):
        assert told[f"MINIO_NOTIFY_NATS_ADDRESS_{target}"] == address
        assert told[f"MINIO_NOTIFY_NATS_USERNAME_{target}"] == user
        assert told[f"MINIO_NOTIFY_NATS_PASSWORD_{target}"] == (password or stack.secrets.passwords["minio"])


def test_our_object_store_publishes_to_our_own_bus(stack: Stack) -> None:
    told = stack.minio(Path("minio")).env
    assert told["MINIO_NOTIFY_NATS_ADDRESS_FAST"] == f"127.0.0.1:{stack.ports['nats']}"
    assert told["MINIO_NOTIFY_NATS_USERNAME_FAST"] == "minio"


def test_a_journal_keeps_a_line_as_it_is(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log")
    journal.write("100 % of %s, %%d")
    journal.close()
    assert (tmp_path / "log").read_text() == "100 % of %s, %%d\n"


def test_the_env_file_is_private_and_a_shell_reads_it_as_it_is(stack: Stack, tmp_path: Path) -> None:
    write(tmp_path / "env", stack)
    lines = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert lines == owner_environment(stack)
    assert (tmp_path / "env").stat().st_mode & 0o777 == 0o600
    assert all(re.fullmatch(r"[\w:/.-]+", value) for value in lines.values())
    assert urlsplit(lines["AWS_ENDPOINT_URL"]).username is None


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('{"event": "job.claimed", "level": "info", "timestamp": "t", "job": "j"}', "info job.claimed job=j"),
        ("plain text", "plain text"),
        ("{broken", "{broken"),
        ("[1]", "[1]"),
        ('{"no": "event"}', '{"no": "event"}'),
    ],
)
def test_json_log_lines_are_shown_as_words(line: str, shown: str) -> None:
    assert readable(line) == shown
