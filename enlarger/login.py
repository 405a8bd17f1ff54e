"""Sign in as a person: an access token that is renewed before it ends, by one of those who share a client at a time."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import httpx2

from enlarger.account_models import Me, SignedIn
from enlarger.errors import EnlargerError, problem
from enlarger.network import Network
from enlarger.reading import read
from enlarger.retries import (
    BACKOFF_SECONDS,
    NEVER_SENT,
    ONCE,
    REPEATABLE,
    RESTART_SECONDS,
    Clock,
    Worth,
    persist,
)

#: An access token is renewed when it is good for less than this, or for less than a tenth of its life.
MARGIN_SECONDS: Final = 60.0
#: Where the token that is shown cannot have been used up by that: one that comes twice ends its session.
_REFRESH: Final = Worth(NEVER_SENT, REPEATABLE.statuses)
_EXPIRED: Final = frozenset({"token_invalid", "token_expired"})
#: How it shows that a session has ended, or that the next refresh token did not arrive.
_LOST: Final = frozenset({"refresh_invalid", "service_unreachable"})


@dataclass(frozen=True, slots=True)
class Login:
    """What a client signs in with, in place of an API token, when it is first used.

    Args:
        email: Of the account.
        password: Of the account.
        refresh_token: Of a session that goes on; instead of the password, or before it.
        on_refresh: Called with each new refresh token, to be kept for the next start. The one before is worth nothing
            from then on, and whoever shows it ends the session. It must not use the client; that of an `AsyncClient`
            runs in a thread.

    Raises:
        EnlargerError: `settings_invalid`: there is neither a password nor a refresh token.
    """

    email: str = ""
    password: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    on_refresh: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        if not self.refresh_token and not (self.email and self.password):
            raise EnlargerError(
                "There is nothing to sign in with",
                code="settings_invalid",
                hint="Give an email and its password, or a refresh token.",
            )


class Bearer(Protocol):
    """What stands for the caller in each request."""

    async def token(self) -> str:
        """A token that should be good."""

    async def renew(self, refused: str) -> bool:
        """Whether there is another token now that the service has refused this one."""

    async def register(self) -> Me:
        """Make the account."""

    async def end(self) -> None:
        """End the session."""

    async def change_password(self, current: str, new: str) -> None:
        """Change the password."""


class Fixed:
    """An API token."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self) -> str:
        """The token."""
        return self._token

    async def renew(self, refused: str) -> bool:  # noqa: ARG002 - there is only the one
        """No: there is only the one."""
        return False

    async def register(self) -> Me:
        """Raise `session_missing`."""
        raise _no_session("An account is not made with an API token.", "Make the client with a Login.")

    async def end(self) -> None:
        """Raise `session_missing`."""
        raise _no_session("This client was given an API token: it has no session.", "Revoke the token instead.")

    async def change_password(self, current: str, new: str) -> None:  # noqa: ARG002 - never used
        """Raise `session_missing`."""
        raise _no_session("A password is not changed with an API token.", "Sign in with a Login.")


def bearer(token: str | Login, network: Network, clock: Clock) -> Bearer:
    """What stands for the caller: an API token, or a session that begins with the first request."""
    return Session(token, network, clock) if isinstance(token, Login) else Fixed(token)


class Session:
    """A login. Whoever needs another token waits for whoever gets it.

    Args:
        login: What to sign in with.
        network: Connections to the service.
        clock: Where time and chance come from.
    """

    def __init__(self, login: Login, network: Network, clock: Clock) -> None:
        self._login = login
        self._password = login.password
        self._refresh_token = login.refresh_token
        self._network = network
        self._clock = clock
        self._access = ""
        self._fresh_until = 0.0
        self._ended = False
        self._failure: EnlargerError | None = None
        self._lock = network.lock()

    async def token(self) -> str:
        """The access token, renewed where it is about to end."""
        if not self._fresh:
            await self._alone(self._shared(self._freshen))
        return self._access

    async def renew(self, refused: str) -> bool:
        """Get the next access token, unless somebody did since *refused* was sent."""

        async def unless_done() -> None:
            if self._access == refused:
                await self._next()

        await self._alone(self._shared(unless_done))
        return True

    async def register(self) -> Me:
        """Make the account that the login names."""
        body = {"email": self._login.email, "password": self._password}
        return read(Me, await self._post("register", body, worth=ONCE))

    async def end(self) -> None:
        """Log out; nothing works with this client from then on."""

        async def log_out() -> None:
            if self._refresh_token:
                await self._post("logout", {"refresh_token": self._refresh_token})
            self._ended, self._access, self._refresh_token, self._password = True, "", "", ""

        await self._alone(log_out)

    async def change_password(self, current: str, new: str) -> None:
        """Change it. All sessions end by that; this one goes on as a new one."""

        async def change() -> None:
            asked_at = self._clock.now()
            answer = await self._post("password", body, token=self._access, worth=ONCE)
            self._password = self._password and new
            await self._take(answer, asked_at)

        async def change_when_signed_in() -> None:
            await self._freshen()
            try:
                await change()
            except EnlargerError as error:
                if not expired(error):
                    raise
                await self._next()
                await change()

        body = {"current_password": current, "new_password": new}
        await self._alone(change_when_signed_in)

    @property
    def _fresh(self) -> bool:
        return bool(self._access) and self._clock.now() < self._fresh_until

    async def _alone(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do *work* while nobody else does, and to its end: a refresh whose answer is lost costs the session."""

        async def locked() -> None:
            async with self._lock:
                if self._ended:
                    raise _no_session("This client has logged out.", "Make another one.")
                await work()

        await self._network.through(locked())

    def _shared(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], Coroutine[Any, Any, None]]:
        """*work*, unless it fails for somebody before: a password that is wrong is shown once, not by each of many."""
        before = self._failure

        async def unless_failed() -> None:
            if self._failure is not None and self._failure is not before:
                raise self._failure
            try:
                await work()
            except EnlargerError as error:
                self._failure = error
                raise

        return unless_failed

    async def _freshen(self) -> None:
        if not self._fresh:
            await self._next()

    async def _next(self) -> None:
        """Refresh, or log in: where there is no session yet, or this one has ended and the password is known."""
        asked_at = self._clock.now()
        if self._refresh_token:
            try:
                body = {"refresh_token": self._refresh_token}
                answer = await self._post("refresh", body, waits=RESTART_SECONDS, worth=_REFRESH)
            except EnlargerError as error:
                if not self._password or error.code not in _LOST:
                    raise
            else:
                return await self._take(answer, asked_at)
        answer = await self._post("login", {"email": self._login.email, "password": self._password})
        return await self._take(answer, asked_at)

    async def _take(self, answer: httpx2.Response, asked_at: float) -> None:
        given = read(SignedIn, answer)
        self._access, self._refresh_token = given.access_token, given.refresh_token
        self._fresh_until = asked_at + given.expires_in - min(MARGIN_SECONDS, given.expires_in / 10)
        if self._login.on_refresh is not None:
            await self._network.apart(self._login.on_refresh, given.refresh_token)

    async def _post(
        self,
        call: str,
        body: Mapping[str, str],
        *,
        token: str = "",
        waits: tuple[float, ...] = BACKOFF_SECONDS,
        worth: Worth = REPEATABLE,
    ) -> httpx2.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}

        async def attempt() -> httpx2.Response:
            answer = await self._network.request("POST", f"/v1/auth/{call}", headers=headers, json=body)
            if answer.is_error:
                raise problem(answer)
            return answer

        sleep, chance = self._network.sleep, self._clock.chance
        return await persist(attempt, sleep=sleep, chance=chance, waits=waits, worth=worth)


def expired(error: EnlargerError) -> bool:
    """The service did not take the token itself, whatever the call."""
    return error.status == httpx2.codes.UNAUTHORIZED and error.code in _EXPIRED


def _no_session(detail: str, hint: str) -> EnlargerError:
    return EnlargerError(detail, code="session_missing", hint=hint)
