"""Starts the servers of a stack in order: the bus first, because the object store publishes to it."""

import asyncio
from collections.abc import Callable

from infra import binaries
from infra.addresses import ROOT
from infra.bootstrap.documents import make_root
from infra.stack import Stack
from infra.supervisor import Supervisor


async def start_servers(stack: Stack, supervisor: Supervisor, say: Callable[[str], None]) -> None:
    """Start every server that no URL setting names, and return when all of them work.

    Raises:
        SetupError: A program is missing and cannot be built.
        SetupError: A server ended or did not become ready.
    """
    async with asyncio.TaskGroup() as group:
        if "mongo" not in stack.external:
            group.create_task(_documents(stack, supervisor))
        group.create_task(_bus_then_store(stack, supervisor, say))


async def _bus_then_store(stack: Stack, supervisor: Supervisor, say: Callable[[str], None]) -> None:
    if "nats" not in stack.external:
        await supervisor.start(stack.nats(await asyncio.to_thread(binaries.find, binaries.NATS, say)))
    if "minio" not in stack.external:
        await supervisor.start(stack.minio(await asyncio.to_thread(binaries.find, binaries.MINIO, say)))


async def _documents(stack: Stack, supervisor: Supervisor) -> None:
    made = stack.folders.root / "mongo-root-made"
    if not made.exists():  # the first user can only be made while the server asks for none
        process = stack.documents(auth=False)
        await supervisor.start(process)
        await make_root(f"mongodb://127.0.0.1:{stack.ports['mongo']}", ROOT, stack.secrets.passwords[ROOT])
        await supervisor.stop(process.name)
        made.touch()
    await supervisor.start(stack.documents())
