"""The servers that tests run against: one contract, two providers (local processes, containers).

Servers are named `nats`, `minio` and `mongo`. A test may stop, kill and restart them; it leaves them running.
"""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from anyio.from_thread import BlockingPortal, start_blocking_portal

from infra import binaries, ports
from infra.addresses import ROOT, Addresses, local
from infra.bootstrap import bootstrap
from infra.envfile import owner_environment
from infra.secrets import Secrets, generate
from infra.stack import Folders, Stack
from infra.start import start_servers
from infra.supervisor import Supervisor
from pipeline.lease import USUAL, Lease


class Provider(Protocol):
    """Starts the three servers and can take one away. `restart` returns when it works again."""

    def start_all(self) -> None: ...
    def stop(self, name: str) -> None: ...
    def kill(self, name: str) -> None: ...
    def restart(self, name: str) -> None: ...
    def freeze(self, name: str) -> None: ...
    def thaw(self, name: str) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Service:
    """One supervised process of ours."""

    name: str
    _portal: BlockingPortal
    _supervisor: Supervisor

    @property
    def pid(self) -> int:
        return self._portal.call(self._supervisor.pid, self.name)

    def lines(self) -> list[str]:
        """Its last log lines, of every life since it was first started."""
        return self._portal.call(self._supervisor.lines, self.name)

    def wait_line(self, text: str, *, seconds: float = 30.0) -> str:
        """The first log line that holds *text*; TimeoutError after *seconds*."""

        async def wait() -> str:
            return await self._supervisor.wait_line(self.name, text, seconds=seconds)

        return self._portal.call(wait)

    def kill(self) -> None:
        """SIGKILL; it stays down until `restart`."""
        self._portal.call(self._supervisor.kill, self.name)

    def freeze(self) -> None:
        """SIGSTOP, to it and its children: it keeps its connections and says nothing until `thaw`."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.killpg(self.pid, signal.SIGCONT)

    def stop(self) -> int | None:
        """SIGTERM; its exit status."""
        return self._portal.call(self._supervisor.stop, self.name)

    def restart(self) -> None:
        """Stop it where it runs, start it, and return when it is ready. Its lines start afresh."""
        self._portal.call(self._supervisor.restart, self.name)


@dataclass(frozen=True, slots=True)
class Servers:
    """Bootstrapped servers: URLs for every account, power over each, and services on top."""

    stack: Stack
    _provider: Provider
    _portal: BlockingPortal
    _supervisor: Supervisor

    @property
    def root(self) -> Addresses:
        """URLs with the credentials that own each server."""
        return self.stack.addresses

    @property
    def secrets(self) -> Secrets:
        return self.stack.secrets

    @property
    def token(self) -> str:
        """The API token of the default owner."""
        return self.secrets.token

    @property
    def api_url(self) -> str:
        """Where `service("api")` listens."""
        return f"http://127.0.0.1:{self.stack.ports['api']}"

    def of(self, account: str) -> Addresses:
        """URLs as one service opens them: ingest, processors, notifier or api."""
        return self.root.of(account, self.secrets.passwords[account])

    def owner(self) -> dict[str, str]:
        """What `aws`, `boto3` and `enlarger` of the person who owns the installation read."""
        return owner_environment(self.stack)

    def stop(self, name: str) -> None:
        self._provider.stop(name)

    def kill(self, name: str) -> None:
        """SIGKILL; it stays down until `restart`."""
        self._provider.kill(name)

    def restart(self, name: str) -> None:
        """Start it again, stopping it first where it runs; same ports, same data."""
        self._provider.restart(name)

    def freeze(self, name: str) -> None:
        """It keeps its connections and says nothing until `thaw`."""
        self._provider.freeze(name)

    def thaw(self, name: str) -> None:
        """It goes on where it stood."""
        self._provider.thaw(name)

    def rewire_minio(self, environment: Mapping[str, str]) -> None:
        """Start a local MinIO again with *environment* on top of its own, for good."""
        minio = self.stack.minio(binaries.find(binaries.MINIO, print))
        self.call(self._supervisor.start, replace(minio, env={**minio.env, **environment}))

    def bootstrap(self, secrets: Secrets | None = None, lease: Lease = USUAL) -> list[str]:
        """Run bootstrap once more; what it said."""
        said: list[str] = []
        self.call(partial(bootstrap, lease=lease), self.root, secrets or self.secrets, said.append)
        return said

    @contextmanager
    def service(
        self, name: str, settings: Mapping[str, str] | None = None, *, alias: str | None = None
    ) -> Iterator[Service]:
        """Run `python -m <name>` as its own account until the block ends; *alias* for a second one of a kind."""
        process = self.stack.service(name, settings, alias=alias)
        self._portal.call(self._supervisor.start, process)
        try:
            yield Service(process.name, self._portal, self._supervisor)
        finally:
            self._portal.call(self._supervisor.stop, process.name)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a coroutine function on the loop of the servers, from a test that has none."""
        return self._portal.call(function, *args)

    def start_soon(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """As `call`, without waiting for its end."""
        return self._portal.start_task_soon(function, *args)


@dataclass(frozen=True, slots=True)
class Processes:
    """The servers as local processes: binaries from PATH or built, the document server's wheel."""

    stack: Stack
    portal: BlockingPortal
    supervisor: Supervisor

    def start_all(self) -> None:
        self.portal.call(start_servers, self.stack, self.supervisor, print)

    def stop(self, name: str) -> None:
        self.portal.call(self.supervisor.stop, name)

    def kill(self, name: str) -> None:
        self.portal.call(self.supervisor.kill, name)

    def restart(self, name: str) -> None:
        self.portal.call(self.supervisor.restart, name)

    def freeze(self, name: str) -> None:
        os.killpg(self.portal.call(self.supervisor.pid, name), signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        os.killpg(self.portal.call(self.supervisor.pid, name), signal.SIGCONT)

    def close(self) -> None:
        """The supervisor's own `close` stops them."""


@contextmanager
def running(folder: Path, *, lease: Lease = USUAL, restarts: bool = False) -> Iterator[Servers]:
    """Start the servers with their state in *folder*, bootstrap them, and stop all when the block ends.

    *restarts*: what dies by itself is started again, as `make up` does it.
    """
    stack = new_stack(folder)
    with ExitStack() as closing:
        portal = closing.enter_context(start_blocking_portal("asyncio"))
        supervisor = portal.call(_supervisor, stack.folders.logs, restarts)
        closing.callback(portal.call, supervisor.close)
        provider = _provider(stack, portal, supervisor)
        closing.callback(provider.close)
        provider.start_all()
        servers = Servers(stack, provider, portal, supervisor)
        servers.bootstrap(lease=lease)
        yield servers


def plain_environment() -> dict[str, str]:
    """Ours without settings, so that a shell that has sourced `.enlarger/env` or `.env` tests the same."""
    return {key: value for key, value in os.environ.items() if not key.startswith("ENLARGER_")}


def new_stack(folder: Path, environment: Mapping[str, str] | None = None) -> Stack:
    """A stack with secrets and free ports of its own."""
    folders = Folders(folder)
    folders.make()
    secrets, chosen = generate(), ports.choose({}, {})
    return Stack(folders, chosen, secrets, local(chosen, secrets.passwords[ROOT]), environment or plain_environment())


def _provider(stack: Stack, portal: BlockingPortal, supervisor: Supervisor) -> Provider:
    match os.environ.get("SERVERS", "processes"):
        case "processes":
            return Processes(stack, portal, supervisor)
        case "containers":
            from tests.containers import Containers

            return Containers(stack, portal)
        case other:
            raise ValueError(f"SERVERS={other}: set it to processes or containers")


async def _supervisor(logs: Path, restarts: bool) -> Supervisor:  # noqa: FBT001 - a portal passes by position
    return Supervisor(logs, restarts=restarts)
