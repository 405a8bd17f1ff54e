"""Routes as data: what a call takes, answers and refuses is declared once, then enforced and described from that."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.access import admit, caller
from api.audit import audited
from api.envelope import BodyLimit
from api.follow_ups import Links
from api.limits import LimitName
from api.services import Services
from pipeline.scopes import Scope

Handler = Callable[[Request[Services]], Awaitable[Response]]
Access = Literal["public", "token", "admin"]
SMALL_BODY_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address.

    Args:
        handler: Answers the request.
        summary: One sentence for the description.
        answers: The model of each successful status; None where the body is empty or free.
        access: Who may call it. For all but `public`, `request.user` is the caller's `Token`.
        body: Model of a JSON body.
        form: Model of a multipart body.
        query: Model of the query string.
        refusals: Error codes of its own; those that follow from the other fields are added in `codes`.
        scope: What a token must be good for; "any": every valid token will do. Where nothing is said, `scope_of` tells.
        headers: JSON Schema of each request header that it heeds.
        kind: Which limit its calls count against; None: they are not counted.
        media: Media type of the answer that has no model.
        links: Where its answer leads, as in `api.follow_ups`.
    """

    handler: Handler
    summary: str
    answers: Mapping[int, type[BaseModel] | None]
    access: Access = "token"
    body: type[BaseModel] | None = None
    form: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    refusals: tuple[str, ...] = ()
    scope: Scope | Literal["any"] | None = None
    headers: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    kind: LimitName | None = "default"
    media: str | None = None
    links: Links = field(default_factory=dict)

    @property
    def codes(self) -> list[str]:
        """Every error code that this operation can answer."""
        codes = {*self.refusals, "internal_error", "body_too_large"}
        if self.access != "public":
            codes |= {"token_invalid", "token_forbidden", "storage_unavailable"}
        if self.kind:
            codes |= {"rate_limited", "storage_unavailable"}
        if self.body or self.form:
            codes |= {"type_unsupported", "request_malformed", "request_invalid"}
        if self.query:
            codes.add("request_invalid")
        return sorted(codes)

    def scope_of(self, method: str) -> str:
        """The scope that a token needs for it: to read or to write jobs, or what admins see, unless it says another."""
        area = "admin" if self.access == "admin" else "jobs"
        return self.scope or f"{area}:{'read' if method == 'GET' else 'write'}"


def operation(  # noqa: PLR0913 - the fields of an `Operation`
    summary: str,
    *,
    answers: Mapping[int, type[BaseModel] | None],
    access: Access = "token",
    body: type[BaseModel] | None = None,
    form: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    refusals: tuple[str, ...] = (),
    scope: Scope | Literal["any"] | None = None,
    headers: Mapping[str, Mapping[str, object]] = MappingProxyType({}),
    kind: LimitName | None = "default",
    media: str | None = None,
    links: Links = MappingProxyType({}),
) -> Callable[[Handler], Operation]:
    """Declare the function below an `Operation`; the arguments are its fields."""
    fields = answers, access, body, form, query, refusals, scope, headers, kind, media, links
    return lambda handler: Operation(handler, summary, *fields)


@dataclass(frozen=True, slots=True)
class Resource:
    """One address with all its methods: a single route, so that `Allow` lists them all."""

    path: str
    operations: Mapping[str, Operation]
    limit: Callable[[Services], int]

    def route(self) -> Route:
        """The route that enforces what the operations declare."""

        async def dispatch(request: Request[Services]) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            chosen = self.operations[method]
            if chosen.access != "public":
                admin, scope = chosen.access == "admin", chosen.scope_of(method)
                request.scope["user"] = await admit(request, admin=admin, scope=scope)
            if chosen.kind:
                request.scope["limits"] = await request.state["limits"].admit(chosen.kind, caller(request))
            if chosen.access == "admin" and method != "GET":
                return await audited(request, f"{method} {self.path}", chosen.handler)
            return await chosen.handler(request)

        limited = [Middleware(BodyLimit, limit=self.limit)]
        return Route(self.path, dispatch, methods=list(self.operations), name=self.path, middleware=limited)


def resource(
    path: str, *, limit: Callable[[Services], int] = lambda _: SMALL_BODY_BYTES, **operations: Operation
) -> Resource:
    """One line of the table: `resource("/v1/jobs", GET=read_jobs, POST=submit)`."""
    return Resource(path, operations, limit)
