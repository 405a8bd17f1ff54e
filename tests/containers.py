"""The servers as containers (`SERVERS=containers`), on the host's network: ports and URLs are those of processes."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from anyio.from_thread import BlockingPortal
from testcontainers.core.container import DockerContainer

from infra.addresses import ROOT
from infra.ports import LOOPBACK
from infra.probes import Probe, http_ok, mongo_ok, nats_ok, until
from infra.stack import CLONE, NATS_CONFIG, Stack, minio_environment, nats_environment

START_SECONDS: Final = 60.0
CONFIG: Final = "/etc/nats.conf"


@dataclass(frozen=True, slots=True)
class Containers:
    """`Provider` on Docker. Images: ENLARGER_IMAGE_NATS, _MINIO and _MONGO, else the ones that docker compose uses."""

    stack: Stack
    portal: BlockingPortal
    _started: dict[str, DockerContainer] = field(default_factory=dict)

    def start_all(self) -> None:
        for name in ("nats", "minio", "mongo"):
            self._started[name] = getattr(self, f"_{name}")().with_kwargs(network_mode="host").start()
            self._wait(name)

    def stop(self, name: str) -> None:
        self._started[name].get_wrapped_container().stop()

    def kill(self, name: str) -> None:
        self._started[name].get_wrapped_container().kill()

    def restart(self, name: str) -> None:
        self._started[name].get_wrapped_container().restart()
        self._wait(name)

    def freeze(self, name: str) -> None:
        self._started[name].get_wrapped_container().pause()

    def thaw(self, name: str) -> None:
        self._started[name].get_wrapped_container().unpause()

    def close(self) -> None:
        for container in reversed(self._started.values()):
            container.stop()

    def _wait(self, name: str) -> None:
        try:
            self.portal.call(until, self._probe(name), START_SECONDS)
        except TimeoutError as error:
            raise TimeoutError(f"{name} did not start:\n{self._log(name)}") from error

    def _log(self, name: str) -> str:
        return "\n".join(part.decode(errors="replace")[-3000:] for part in self._started[name].get_logs())

    def _probe(self, name: str) -> Probe:
        root = self.stack.addresses
        health = http_ok(f"{root.minio_endpoint()}/minio/health/cluster")
        return {"nats": nats_ok(root.nats), "minio": health, "mongo": mongo_ok(root.mongo)}[name]

    def _nats(self) -> DockerContainer:
        listen = f"-a {LOOPBACK} -p {self.stack.ports['nats']} -m {self.stack.ports['nats_monitor']}"
        command = f"-c {CONFIG} {listen}"
        container = _container("NATS", command, nats_environment(self.stack.secrets, "/data/jetstream"))
        return container.with_copy_into_container(NATS_CONFIG.read_bytes(), CONFIG, 0o644)

    def _minio(self) -> DockerContainer:
        bus = f"nats://{LOOPBACK}:{self.stack.ports['nats']}"
        command = f"server --quiet --address {LOOPBACK}:{self.stack.ports['minio']} /data/objects"
        return _container("MINIO", command, minio_environment(self.stack.secrets, bus, "/data/events"))

    def _mongo(self) -> DockerContainer:
        password = self.stack.secrets.passwords[ROOT]
        account = {"MONGO_INITDB_ROOT_USERNAME": ROOT, "MONGO_INITDB_ROOT_PASSWORD": password}
        return _container("MONGO", f"--bind_ip {LOOPBACK} --port {self.stack.ports['mongo']}", account)


def _container(name: str, command: str, environment: Mapping[str, str]) -> DockerContainer:
    return DockerContainer(_image(name), command=command, env=dict(environment))


def _image(name: str) -> str:
    variable = f"ENLARGER_IMAGE_{name}"
    default = re.search(rf"\$\{{{variable}:-([^}}]+)}}", (CLONE / "docker-compose.yml").read_text())
    image = os.environ.get(variable) or (default[1] if default else "")
    if not image:
        raise ValueError(f"set {variable} to the image to test with")
    return image
