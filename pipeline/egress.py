"""The guarded way out: HTTP to addresses that users name, never to our own network unless it is allowed by name.

Every name is resolved once, every answer is checked, and the connection goes to a checked address, so a name cannot
change its mind in between. TLS still verifies the name. No redirects, no proxies, no cookies, no decompression.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import httpcore2
import httpx2

Network = IPv4Network | IPv6Network
#: The addresses of a host name as text; blocks, and raises OSError when it has none.
Resolver = Callable[[str, int], Sequence[str]]

DEADLINE_SECONDS: Final = 20.0
CONNECT_SECONDS: Final = 5.0
MAX_RESPONSE_BYTES: Final = 64 * 1024
RESPONSE_SECONDS: Final = 2.0
MAX_CONNECTIONS: Final = 64
MAX_ADDRESSES: Final = 3
#: A look-up outlives the attempt that gave up on it, so more than the sender has slots: one to wait, one to go on.
RESOLVER_THREADS: Final = 32
#: Everything outside is reserved, local, multicast or embeds an IPv4 address (NAT64, IPv4-compatible).
GLOBAL_UNICAST: Final = ip_network("2000::/3")
#: What `is_global` of some Python versions calls global although it is not one host on the internet.
SPECIAL: Final[tuple[Network, ...]] = (
    ip_network("192.0.0.0/24"),  # IETF protocol assignments
    ip_network("192.88.99.0/24"),  # 6to4 relays
    ip_network("2001::/23"),  # IETF protocol assignments, Teredo among them
    ip_network("2002::/16"),  # 6to4 embeds an IPv4 address
    ip_network("3fff::/20"),  # documentation
)


class EgressError(Exception):
    """No answer came; `code` says why in one stable word."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver answered; header names are in lower case, the body is dropped."""

    status_code: int
    headers: Mapping[str, str]


def reachable(address: str, allow: Iterable[Network] = ()) -> bool:
    """Whether *address* is one public host, or in a network of *allow*. IPv4-mapped addresses count as IPv4."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in network for network in allow) or _is_public(ip)


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv6Address) and ip not in GLOBAL_UNICAST:
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in net for net in SPECIAL)


def checked_url(text: str) -> httpx2.URL:
    """Parse a URL that may be called; raises `EgressError` `url_refused`.

    Refused: other schemes than http and https, credentials in the URL, system ports other than 80 and 443.
    """
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise EgressError("url_refused", str(error)) from error
    if url.scheme not in ("http", "https") or not url.host:
        raise EgressError("url_refused", "it is not an http or https URL")
    if url.userinfo:
        raise EgressError("url_refused", "it holds credentials")
    if url.port not in (None, 80, 443) and url.port not in range(1024, 65536):
        raise EgressError("url_refused", f"port {url.port} is no receiver's")
    return url


def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver; it also reads decimal, hexadecimal and short forms of IPv4 addresses."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to checked addresses alone."""

    def __init__(
        self,
        allow: Collection[Network],
        *,
        resolver: Callable[[str, int], Awaitable[Sequence[str]]],
        inner: httpcore2.AsyncNetworkBackend,
    ) -> None:
        self._allow = allow
        self._resolve = resolver
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve once; raises `EgressError` when the name is unknown or any of its addresses is refused."""
        addresses = await self._checked(host, port)
        for address in addresses[:-1]:
            with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                return await self._inner.connect_tcp(address, port, CONNECT_SECONDS, local_address, socket_options)
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def _checked(self, host: str, port: int) -> Sequence[str]:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise EgressError("name_unknown", f"{host}: {error}") from error
        refused = [address for address in addresses if not reachable(address, self._allow)]
        if refused:
            raise EgressError("address_refused", f"{host} is at {refused[0]}, which is not on the public internet")
        if not addresses:
            raise EgressError("name_unknown", f"{host} has no address")
        return addresses[:MAX_ADDRESSES]


class Egress:
    """The client that goes out to receivers of webhooks, and for pictures at addresses that users name."""

    def __init__(
        self,
        allow: Collection[Network] = (),
        *,
        resolver: Resolver = resolve,
        inner: httpcore2.AsyncNetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        # Threads of our own, and enough: names that nobody answers for would fill those of the event loop.
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolve")
        self._resolver = resolver
        # Connections are not kept: a fresh one is checked afresh, and none can turn out stale half-way.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls or httpcore2.default_ssl_context(),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=0,
            network_backend=GuardedBackend(allow, resolver=self._resolve, inner=inner or httpcore2.AnyIOBackend()),
        )
        self._deadline_seconds = deadline_seconds

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> Reply:
        """POST once; raises `EgressError` when no answer came within the deadline. Any status is an answer."""
        async with self.stream("POST", url, headers=headers, body=body) as response:
            await _read_some(response)
            return Reply(response.status, headers_of(response))

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None
    ) -> AsyncIterator[httpcore2.Response]:
        """Ask once; the deadline covers the block too, in which the answer is read. Raises as `post`."""
        target = checked_url(url)
        try:
            async with asyncio.timeout(self._deadline_seconds), self._exchange(method, target, headers, body) as answer:
                yield answer
        except (TimeoutError, httpcore2.TimeoutException) as error:
            raise EgressError("timed_out", f"no answer within {self._deadline_seconds:g} s") from error
        except httpcore2.ConnectError as error:
            raise EgressError("connection_failed", str(error)) from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise EgressError("connection_broken", str(error)) from error

    async def close(self) -> None:
        """Close what is open; a look-up under way ends on its own."""
        await self._pool.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._resolver, host, port)

    def _exchange(
        self, method: str, url: httpx2.URL, headers: Mapping[str, str], body: bytes | None
    ) -> AbstractAsyncContextManager[httpcore2.Response]:
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        sent = {"host": url.netloc.decode("ascii"), "user-agent": "Enlarger", "accept": "*/*", **headers}
        return self._pool.stream(method, target, headers=list(sent.items()), content=body)


def headers_of(response: httpcore2.Response) -> dict[str, str]:
    """The headers by their names in lower case; of a repeated one the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


async def _read_some(response: httpcore2.Response) -> None:
    """Take a short body off the wire, so that an honest receiver is not reset; its status already counts."""
    seen = 0
    with suppress(TimeoutError, httpcore2.NetworkError, httpcore2.ProtocolError):
        async with asyncio.timeout(RESPONSE_SECONDS):
            async for chunk in response.aiter_stream():
                seen += len(chunk)
                if seen >= MAX_RESPONSE_BYTES:
                    return
