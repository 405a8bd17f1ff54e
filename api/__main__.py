"""The api process: reads its settings, builds its clients, and answers until told to stop."""

import asyncio
import dataclasses
import gc
import resource
import socket
import sys
from contextlib import nullcontext
from functools import partial
from typing import Final

import httpx2
import structlog
import uvicorn

from api import administration
from api.accounts.accounts import Rules
from api.app import create_app
from api.dialects.bus_figures import BusGauge, unknown
from api.dialects.setup import Dialects, loopback, owners, spoken, words
from api.fetching import FETCH_SECONDS
from api.operations import SMALL_BODY_BYTES
from api.services import Services, wire
from api.settings import Settings
from pipeline.adapters import mongo, nats_bus
from pipeline.adapters.minio_credentials import MinioCredentials
from pipeline.adapters.minio_presign import MinioPresigner
from pipeline.adapters.minio_store import Endpoint, MinioObjects
from pipeline.clock import now
from pipeline.egress import Egress
from pipeline.lifecycle import serve
from pipeline.logs import configure
from pipeline.sealing import Seal

GRACE_SECONDS: Final = 15
#: Most of them are live streams, which wait and cost memory alone.
MAX_CONNECTIONS: Final = 4096
#: What else is open: the servers, files, the listening socket.
OTHER_FILES: Final = 256


async def run(settings: Settings) -> None:
    """Serve until SIGTERM; requests in flight may finish."""
    url = settings.mongo_url.get_secret_value()
    endpoint = Endpoint.parse(settings.minio_url.get_secret_value())
    public = dataclasses.replace(endpoint, origin=(settings.minio_public_url or endpoint.origin).rstrip("/"))
    bus = await nats_bus.connect(settings.nats_url.get_secret_value(), name="api")
    objects = MinioObjects(endpoint)
    parent = settings.password_tenants.get_secret_value()
    client = mongo.connect(url)
    egress = Egress(settings.egress_allow, deadline_seconds=FETCH_SECONDS)
    http = httpx2.AsyncClient(trust_env=False)
    try:
        services = await wire(
            mongo.documents(mongo.database(client, url), Seal.of(settings.password_webhooks.get_secret_value())),
            objects,
            MinioPresigner(public),
            bus,
            credentials=MinioCredentials(endpoint.origin, parent, public_origin=public.origin),
            egress=egress,
            clock=now,
            quotas=settings.quotas,
            allowance=settings.allowance,
            places=settings.places,
            public_url=settings.public_url or f"http://{settings.api_host}:{settings.api_port}",
            max_upload_bytes=settings.max_upload_bytes,
            rules=rules(settings),
            max_pixels=settings.max_pixels,
            dialects=_dialects(settings, http),
        )
        await serve(bus, partial(answer, settings, services), services["relay"].run)
    finally:
        await egress.close()
        await http.aclose()
        await bus.close()
        await objects.close()
        await client.close()


def rules(settings: Settings) -> Rules:
    """What the settings say of accounts."""
    return Rules(
        settings.password_sessions.get_secret_value(),
        access_life=settings.access_life,
        refresh_life=settings.refresh_life,
        registration=settings.registration == "on",
    )


def _dialects(settings: Settings, http: httpx2.AsyncClient) -> Dialects:
    monitor, at_home = settings.nats_monitor_url, loopback(settings.api_host)
    return Dialects(
        names=spoken(settings.dialects, host=settings.api_host),
        tokens=owners(settings.tokens.get_secret_value()),
        anonymous=settings.anonymous == "on" or at_home,
        registration=settings.registration == "on" or (settings.registration is None and at_home),
        download_seconds=settings.download_seconds,
        input_px=settings.base64_input_px,
        bus_figures=BusGauge(monitor, http).read if monitor else unknown,
    )


async def answer(settings: Settings, services: Services, stop: asyncio.Event) -> None:
    """Listen and answer until *stop*."""
    config = uvicorn.Config(
        create_app(
            lambda: nullcontext(services),
            dialects=services["dialects"].names,
            cors_origins=words(settings.cors_origins),
        ),
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="auto",
        ws_max_size=SMALL_BODY_BYTES,
        ws_per_message_deflate=False,  # a compressor costs each connection more memory than all the rest of it
        lifespan="on",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    gc.collect()
    gc.freeze()  # what is there by now stays; with 2,000 streams a full collection takes up to 0.3 s
    listening = listen(config)
    structlog.get_logger().info("service.ready", host=settings.api_host, port=listening.getsockname()[1])
    server = uvicorn.Server(config)

    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    async with asyncio.TaskGroup() as group:
        ending = group.create_task(end())
        await server.serve(sockets=[listening])
        ending.cancel()


def listen(config: uvicorn.Config) -> socket.socket:
    """Where *config* says; from here on a client waits for us instead of being refused."""
    listening = config.bind_socket()
    # asyncio sets this only where a socket names its protocol, and uvicorn's does not: the body of an answer would wait
    # for the client's acknowledgement of its head, 40 ms. Accepted connections inherit it.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.listen()
    return listening


def allow_connections() -> None:
    """Raise the number of open files, which many systems set to 1024, as far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def main() -> None:
    """Entry point of `python -m api`; with a command it does that instead of serving."""
    configure("api")
    allow_connections()
    if sys.argv[1:]:
        sys.exit(administration.main(sys.argv[1:]))
    asyncio.run(run(Settings()))


if __name__ == "__main__":
    main()
