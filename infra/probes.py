"""Whether a server works, asked once: probes answer False instead of raising."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import httpx2
import nats
import nats.errors
from pymongo import MongoClient
from pymongo.errors import PyMongoError

Probe = Callable[[], Awaitable[bool]]
ANSWER_SECONDS: Final = 2.0
POLL_SECONDS: Final = 0.05


async def until(probe: Probe, seconds: float) -> None:
    """Return when *probe* answers True; TimeoutError after *seconds*."""
    async with asyncio.timeout(seconds):
        while not await probe():  # noqa: ASYNC110 - the server is another process: nobody can set an event for it
            await asyncio.sleep(POLL_SECONDS)


def http_ok(url: str) -> Probe:
    """A probe: GET *url* answers 2xx."""

    async def probe() -> bool:
        try:
            async with httpx2.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as client:
                return (await client.get(url)).is_success
        except httpx2.HTTPError:
            return False

    return probe


def nats_ok(url: str) -> Probe:
    """A probe: the bus takes our credentials and JetStream answers."""

    async def probe() -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                client = await nats.connect(
                    url, allow_reconnect=False, connect_timeout=1, reconnect_time_wait=0.01, error_cb=_ignore
                )
                try:
                    await client.jetstream().account_info()
                finally:
                    await client.close()
        except (nats.errors.Error, OSError):
            return False
        return True

    return probe


def mongo_ok(url: str) -> Probe:
    """A probe: the document server takes our credentials and answers a ping."""

    def ping() -> bool:
        # the blocking client: pymongo's asynchronous one leaves sockets open that a starting server resets
        with MongoClient[dict[str, object]](url, serverSelectionTimeoutMS=int(ANSWER_SECONDS * 1000)) as client:
            try:
                client.admin.command("ping")
            except PyMongoError:
                return False
            return True

    async def probe() -> bool:
        return await asyncio.to_thread(ping)

    return probe


async def _ignore(_error: Exception) -> None:
    """Silence nats-py, which prints the errors of a server that is still starting."""
