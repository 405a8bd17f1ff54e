"""A service with one account, which ends a session whose refresh token is shown twice."""

import json
from typing import Any

import httpx2

from enlarger import AsyncClient, Client, Login
from tests.unit.fake_service import API, Asynchronous, FakeService, FakeTime, refused

EMAIL, PASSWORD = "dana@example.com", "a plain sentence"
LIFE_SECONDS = 1800


class FakeAccounts(FakeService):
    """Access tokens are `access-N`, refresh tokens `refresh-N`; both are good in their session alone."""

    def __init__(self, time: FakeTime) -> None:
        super().__init__()
        self.time = time
        self.password = PASSWORD
        self.sessions: dict[int, bool] = {}
        self.access: dict[str, tuple[int, float]] = {}
        self.refresh: dict[str, int] = {}
        self.used: set[str] = set()
        self.reused = 0

    def signed_in(self, **changes: Any) -> Client:
        login = Login(**{"email": EMAIL, "password": PASSWORD} | changes)
        return Client(API, login, transport=self.transport, clock=self.time.clock())

    def async_signed_in(self, **changes: Any) -> AsyncClient:
        login = Login(**{"email": EMAIL, "password": PASSWORD} | changes)
        return AsyncClient(API, login, transport=Asynchronous(self), clock=self.time.clock())

    def calls(self) -> list[str]:
        """The last word of each path that was asked."""
        return [request.url.path.rpartition("/")[2] for request in self.requests]

    def end_sessions(self) -> None:
        self.sessions = dict.fromkeys(self.sessions, False)

    def expire_access(self) -> None:
        """As if the clock of the service were ahead of the client's."""
        self.access.clear()

    def _api(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content) if request.url.path.startswith("/v1/auth/") else {}
        match request.url.path.rpartition("/")[2]:
            case "login":
                good = (body["email"], body["password"]) == (EMAIL, self.password)
                return self._open() if good else refused(401, "login_invalid", "Wrong.", "Again.")
            case "refresh":
                return self._rotate(body["refresh_token"])
            case "logout":
                self.sessions[self.refresh[body["refresh_token"]]] = False
                return httpx2.Response(204)
        if not self._admitted(request.headers.get("authorization", "")):
            return refused(401, "token_invalid", "This needs a valid token.", "Send one.")
        return self._private(request, body) or super()._api(request)

    def _private(self, request: httpx2.Request, body: dict[str, str]) -> httpx2.Response | None:
        match request.url.path.rpartition("/")[2]:
            case "password" if body["current_password"] != self.password:
                return refused(401, "login_invalid", "Wrong.", "Again.")
            case "password":
                self.password = body["new_password"]
                self.end_sessions()
                return self._open()
            case "me":
                return httpx2.Response(200, json={"owner": "usr_1", "email": EMAIL, "role": "user", "scopes": []})
        return None

    def _admitted(self, header: str) -> bool:
        session, until = self.access.get(header.removeprefix("Bearer "), (-1, 0.0))
        return super()._admitted(header) or (self.sessions.get(session, False) and self.time.now < until)

    def _open(self) -> httpx2.Response:
        session = len(self.sessions)
        self.sessions[session] = True
        return self._grant(session)

    def _rotate(self, token: str) -> httpx2.Response:
        session = self.refresh.get(token, -1)
        if token in self.used:
            self.reused += 1
            self.sessions[session] = False
        if not self.sessions.get(session, False):
            return refused(401, "refresh_invalid", "Unknown, expired, or used before.", "Log in again.")
        self.used.add(token)
        return self._grant(session)

    def _grant(self, session: int) -> httpx2.Response:
        number = len(self.refresh)
        self.access[f"access-{number}"] = (session, self.time.now + LIFE_SECONDS)
        self.refresh[f"refresh-{number}"] = session
        body = {"access_token": f"access-{number}", "token_type": "Bearer", "expires_in": LIFE_SECONDS}
        return httpx2.Response(200, json=body | {"refresh_token": f"refresh-{number}", "refresh_expires_in": 604_800})
