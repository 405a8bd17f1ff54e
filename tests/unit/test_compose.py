"""What docker-compose.yml promises: read as YAML everywhere, and by Docker's own client where one is installed."""

import functools
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]

from infra import binaries, compose_env
from infra.addresses import ROOT, SERVICES, Addresses
from infra.secrets import Secrets, from_environment
from infra.stack import CLONE, NATS_CONFIG, STOP_SECONDS, minio_environment, nats_environment

COMPOSE: Final = CLONE / "docker-compose.yml"
LOCAL: Final = CLONE / "docker-compose.local.yml"
DOCKER: Final = CLONE / "infra" / "docker"
TEXT: Final = COMPOSE.read_text()
VARIABLES: Final = compose_env.variables(compose_env.required(TEXT), {})
SERVERS: Final = ("nats", "minio", "mongo")
ROOTS: Final = Addresses(
    f"http://{ROOT}:{VARIABLES['ENLARGER_PASSWORD_BOOTSTRAP']}@minio:9000",
    f"nats://{ROOT}:{VARIABLES['ENLARGER_PASSWORD_BOOTSTRAP']}@nats:4222",
    f"mongodb://{ROOT}:{VARIABLES['ENLARGER_PASSWORD_BOOTSTRAP']}@mongo:27017/?authSource=admin",
)

Services = dict[str, dict[str, Any]]
Reader = Callable[[Mapping[str, str]], Services]


def read_yaml(variables: Mapping[str, str]) -> Services:
    """The file itself, with `${NAME:-default}` and `${NAME:?message}` filled in."""
    services: Services = _filled(yaml.safe_load(TEXT), variables)["services"]
    return services


def _filled(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _filled(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, variables) for value in node]
    return re.sub(r"\$\{(\w+):([?-])([^}]*)\}", _value(variables), node) if isinstance(node, str) else node


def _value(variables: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    def value(match: re.Match[str]) -> str:
        name, kind, text = match.groups()
        if kind == "?" and not variables.get(name):
            raise ValueError(text)
        return variables.get(name) or text

    return value


def read_with(client: tuple[str, ...], variables: Mapping[str, str]) -> Services:
    """What *client* makes of the file; ValueError with its words when it refuses."""
    environment = {"PATH": os.environ["PATH"], **variables}
    with tempfile.NamedTemporaryFile() as nothing:  # instead of the .env that may lie in the clone
        command = [*client, "--env-file", nothing.name, "--profile", "gpu", "-f", str(COMPOSE), "config"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    services: Services = yaml.safe_load(done.stdout)["services"]
    return services


def _clients() -> dict[str, Reader]:
    """Every Docker client on PATH that can read compose files."""
    found: dict[str, Reader] = {}
    for client in (("docker", "compose"), ("docker-compose",)):
        answers = shutil.which(client[0]) and subprocess.run(
            [*client, "version"], capture_output=True, timeout=60, check=False
        )
        if answers and answers.returncode == 0:
            found[" ".join(client)] = functools.partial(read_with, client)
    return found


READERS: Final[dict[str, Reader]] = {"yaml": read_yaml, **_clients()}


@functools.cache
def _read(reader: str) -> Services:
    return READERS[reader](VARIABLES)


@pytest.fixture(params=READERS)
def services(request: pytest.FixtureRequest) -> Services:
    return _read(request.param)


def test_every_container_is_unprivileged_and_has_a_root_that_it_cannot_write(services: Services) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert int(service["user"].partition(":")[0]) > 0, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc"} & set(service), name
        assert "docker.sock" not in str(service.get("volumes")), name


def test_only_the_api_and_the_object_store_are_published_and_on_loopback_alone(services: Services) -> None:
    published = {name: [_port(port) for port in service.get("ports", [])] for name, service in services.items()}
    assert {name: ports for name, ports in published.items() if ports} == {
        "api": [("127.0.0.1", "8080", "8080")],
        "minio": [("127.0.0.1", "9000", "9000")],
    }


def _port(port: str | dict[str, Any]) -> tuple[str, str, str]:
    if isinstance(port, dict):
        return port["host_ip"], str(port["published"]), str(port["target"])
    host, published, target = port.removesuffix("/tcp").split(":")
    return host, published, target


def test_whoever_decodes_pictures_has_no_way_out(services: Services) -> None:
    reach = {name: set(service["networks"]) for name, service in services.items()}
    assert {name for name, networks in reach.items() if networks != {"inside"}} == {"api", "notifier", "minio"}
    assert yaml.safe_load(TEXT)["networks"]["inside"]["internal"] is True


def test_servers_are_healthy_before_bootstrap_and_bootstrap_is_done_before_services(services: Services) -> None:
    assert _conditions(services["bootstrap"]) == dict.fromkeys(SERVERS, "service_healthy")
    for name in (*SERVICES, "processors-gpu"):
        assert _conditions(services[name]) == {"bootstrap": "service_completed_successfully"}
    for name in ("bootstrap", "folders"):
        assert services[name]["restart"] == "no"


def _conditions(service: dict[str, Any]) -> dict[str, str]:
    return {name: wait["condition"] for name, wait in service["depends_on"].items()}


def test_everything_that_keeps_running_is_checked_for_health(services: Services) -> None:
    in_image = {"service.Dockerfile"} if "\nHEALTHCHECK --" in (DOCKER / "service.Dockerfile").read_text() else set()
    for name, service in services.items():
        dockerfile = Path((service.get("build") or {}).get("dockerfile", "")).name
        assert "healthcheck" in service or dockerfile in in_image or service["restart"] == "no", name


def test_no_health_check_has_a_password_among_its_arguments(services: Services) -> None:
    """Everybody on the machine can read a command line."""
    (check,) = re.findall(r"^HEALTHCHECK .*? CMD (.+)$", (DOCKER / "service.Dockerfile").read_text(), re.MULTILINE)
    assert json.loads(check) == ["python", "healthy.py", "ENLARGER_NATS_URL"]
    for service in services.values():
        assert "@" not in str(service.get("healthcheck"))
        assert not _known(from_environment(VARIABLES), {"test": service.get("healthcheck")})


def test_a_service_has_time_to_give_back_its_work(services: Services) -> None:
    for name in SERVICES:
        assert re.fullmatch(rf"{STOP_SECONDS:g}s", str(services[name]["stop_grace_period"])), name


def test_servers_and_services_are_told_what_they_are_told_without_docker(services: Services) -> None:
    secrets, told = from_environment(VARIABLES), {name: _environment(service) for name, service in services.items()}
    assert told["minio"].items() >= minio_environment(secrets, "nats://nats:4222", "/events").items()
    assert told["nats"].items() <= nats_environment(secrets, "/bus").items()
    assert set(told["nats"]) == set(re.findall(r"\$(ENLARGER_\w+)", NATS_CONFIG.read_text()))
    assert told["bootstrap"] == secrets.environment() | ROOTS.environment()
    for name in SERVICES:
        mine = ROOTS.settings_of(name, secrets.passwords[name])
        assert {setting: url for setting, url in told[name].items() if setting in ROOTS.environment()} == mine


def test_the_figures_of_the_bus_are_told_where_the_api_looks_and_nowhere_outside(services: Services) -> None:
    assert _environment(services["api"])["ENLARGER_NATS_MONITOR_URL"] == "http://nats:8222"
    command = services["nats"]["command"]
    assert command[command.index("-m") + 1] == "8222"
    assert set(services["nats"]["networks"]) == {"inside"}
    assert "ports" not in services["nats"]


def test_a_service_knows_its_own_password_and_no_other(services: Services) -> None:
    shared = {"api": {"tenants", "sessions", "webhooks"}, "notifier": {"webhooks"}}
    for name in SERVICES:
        assert _known(from_environment(VARIABLES), services[name]) == {name, *shared.get(name, set())}


def _known(secrets: Secrets, service: dict[str, Any]) -> set[str]:
    assert secrets.token not in str(service)
    return {account for account, password in secrets.passwords.items() if password in str(service)}


def _environment(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in (service.get("environment") or {}).items() if value is not None}


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        *(("yaml", name) for name in compose_env.required(TEXT)),
        *((client, "ENLARGER_TOKEN") for client in READERS if client != "yaml"),
    ],
)
def test_a_missing_secret_is_refused_with_the_command_that_makes_it(reader: str, name: str) -> None:
    with pytest.raises(ValueError, match=r"run python3 -m infra\.compose_env"):
        READERS[reader]({key: value for key, value in VARIABLES.items() if key != name})


@pytest.mark.parametrize("reader", READERS)
def test_a_server_image_can_be_replaced(reader: str) -> None:
    services = READERS[reader]({**VARIABLES, "ENLARGER_IMAGE_MONGO": "registry.example/mongo:8"})
    assert services["mongo"]["image"] == "registry.example/mongo:8"


def test_server_images_are_pinned_and_the_bus_is_the_version_that_is_built_without_docker() -> None:
    images = {name: re.fullmatch(r"\$\{ENLARGER_IMAGE_(\w+):-(.+)\}", _raw(name)["image"]) for name in SERVERS}
    assert {name: match[1] for name, match in images.items() if match} == {name: name.upper() for name in SERVERS}
    tags = {name: match[2].partition(":")[2] for name, match in images.items() if match}
    assert all(re.fullmatch(r"(RELEASE\.)?\d+[.-]\d+[.-]\d+[\w.-]*", tag) for tag in tags.values()), tags
    assert tags["nats"].startswith(binaries.NATS.version().removeprefix("v"))


def test_no_secret_is_written_down() -> None:
    secret = r"\$\{ENLARGER_(PASSWORD_\w+|TOKEN):\?[^}]+\}"
    for name in yaml.safe_load(TEXT)["services"]:
        for key, value in (_raw(name).get("environment") or {}).items():
            if re.search(r"PASSWORD|TOKEN(?!S$|_SECONDS|_EXPIRE)|SECRET", key):
                assert re.fullmatch(rf'"?{secret}"?', value), key
            if "@" in str(value):
                assert re.match(rf"\w+://\w+:{secret}@", value), key


def _raw(name: str) -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load(TEXT)["services"][name]
    return service


def test_new_volumes_of_servers_that_are_not_root_get_their_owner_from_a_folder_of_our_image() -> None:
    made = set(re.findall(r"/folders/\w+", (DOCKER / "infra.Dockerfile").read_text()))
    mounted = {mount.partition(":")[2]: mount.partition(":")[0] for mount in _raw("folders")["volumes"]}
    used = {
        mount["source"]: mount for name in ("nats", "minio") for mount in _raw(name)["volumes"] if "source" in mount
    }
    assert made == set(mounted)
    assert set(mounted.values()) == set(used)
    assert all(mount["volume"] == {"nocopy": True} for mount in used.values())


def test_the_local_servers_are_images_that_the_build_script_makes() -> None:
    script = (DOCKER / "build.sh").read_text()
    made = {
        word
        for words in re.findall(r"^for (?:service|server) in (.+); do", script, re.MULTILINE)
        for word in words.split()
    }
    local = yaml.safe_load(LOCAL.read_text())["services"]
    assert {service["image"] for service in local.values()} <= {f"localhost/enlarger-{name}" for name in made}
    assert set(local) == set(SERVERS)
    assert set(SERVICES) <= made
    for server in made - set(SERVICES):
        assert (DOCKER / "local" / f"{server}.Dockerfile").is_file()


def test_the_env_file_holds_what_compose_and_bootstrap_ask_for() -> None:
    assert set(compose_env.required(TEXT)) == set(from_environment(VARIABLES).environment())
    assert VARIABLES["ENLARGER_TOKEN"].startswith("enl_")
    assert VARIABLES["AWS_SECRET_ACCESS_KEY"] == from_environment(VARIABLES).passwords["owner"]
    assert len({VARIABLES[name] for name in compose_env.required(TEXT)}) == len(compose_env.required(TEXT))


def test_chosen_ports_and_addresses_are_in_the_env_file() -> None:
    chosen = {"ENLARGER_API_PORT": "8081", "ENLARGER_MINIO_PUBLIC_URL": "https://s3.example"}
    written = compose_env.variables(compose_env.required(TEXT), chosen)
    assert written["ENLARGER_PUBLIC_URL"] == written["ENLARGER_URL"] == "http://127.0.0.1:8081"
    assert written["AWS_ENDPOINT_URL"] == "https://s3.example"
    assert _port(read_yaml(written)["api"]["ports"][0]) == ("127.0.0.1", "8081", "8080")


def test_the_env_file_is_private_and_never_replaced(tmp_path: Path) -> None:
    compose_env.write(tmp_path / ".env", VARIABLES)
    with pytest.raises(FileExistsError):
        compose_env.write(tmp_path / ".env", {})
    (written,) = tmp_path.iterdir()
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    lines = [line for line in written.read_text().splitlines() if not line.startswith("#")]
    assert dict(line.split("=", 1) for line in lines) == VARIABLES


def test_a_newer_version_adds_the_secrets_that_it_needs_and_changes_none(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    compose_env.write(path, {"ENLARGER_TOKEN": "enl_a", "ENLARGER_PASSWORD_API": "b"})
    before = path.read_text()
    assert compose_env.complete(path, ["ENLARGER_PASSWORD_API", "ENLARGER_PASSWORD_NEW"]) == ["ENLARGER_PASSWORD_NEW"]
    added = path.read_text().removeprefix(before)
    assert re.fullmatch(r"ENLARGER_PASSWORD_NEW=[0-9a-f]{40}\n", added)
    assert compose_env.complete(path, ["ENLARGER_PASSWORD_NEW"]) == []


@pytest.mark.parametrize("script", ["compose_env", "healthy"])
def test_what_runs_outside_an_installation_needs_the_standard_library_alone(script: str) -> None:
    code = f"import sys; sys.path.append({str(CLONE)!r}); import infra.{script}"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=60)
