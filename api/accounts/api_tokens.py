"""API tokens: made and shown once, listed by a hint, revoked at once."""

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final

import structlog

from api.callers import Callers
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.identity import fingerprint
from pipeline.ports.documents import Token
from pipeline.ports.tokens import ApiToken, TokenStore
from pipeline.scopes import SCOPES, Scope

#: Nobody needs more, and a list is one page.
MOST: Final = 100
_HEAD: Final = 8
_TAIL: Final = 4

log = structlog.get_logger()


class ApiTokens:
    """Tokens of one owner, made and revoked in the name of a caller, who can give away no more than they have."""

    def __init__(
        self,
        store: TokenStore,
        callers: Callers,
        *,
        clock: Clock,
        new_id: Callable[[str], str],
        new_token: Callable[[], str],
    ) -> None:
        self._store = store
        self._callers = callers
        self._clock = clock
        self._new_id = new_id
        self._new_token = new_token

    async def create(
        self, caller: Token, name: str, scopes: Collection[Scope], *, days: int | None
    ) -> tuple[ApiToken, str]:
        """A new token and what to send as bearer, which nobody can ask for again.

        Raises:
            PipelineError: `token_forbidden`: the caller lacks one of *scopes*.
            PipelineError: `token_limit_reached`.
        """
        if lacking := sorted(set(scopes) - caller.granted):
            hint = "Leave them out, or use a token that has them."
            said = f"Your token cannot give away what it lacks: {', '.join(lacking)}."
            raise PipelineError(said, code="token_forbidden", hint=hint)
        if len(await self._store.list(caller.owner, limit=MOST)) >= MOST:
            hint = "Revoke one that is not used any more."
            raise PipelineError(f"You have {MOST} tokens.", code="token_limit_reached", hint=hint)
        now, secret = self._clock(), self._new_token()
        made = ApiToken(
            id=self._new_id("tok"),
            owner=caller.owner,
            role=caller.role,
            name=name,
            hint=f"{secret[:_HEAD]}…{secret[-_TAIL:]}",
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            created_at=now,
            expires_at=None if days is None else now + timedelta(days=days),
        )
        await self._store.insert(fingerprint(secret), made)
        log.info("token.created", owner=made.owner, token_id=made.id, scopes=made.scopes)
        return made, secret

    async def list(self, owner: str) -> list[ApiToken]:
        """The owner's tokens, newest first."""
        return await self._store.list(owner, limit=MOST)

    async def revoke(self, owner: str, token_id: str) -> None:
        """Make a token useless; raises `token_not_found`."""
        if not await self._store.revoke(owner, token_id):
            hint = "GET /v1/tokens lists those there are."
            raise PipelineError("There is no such token.", code="token_not_found", hint=hint)
        self._callers.forget()
        log.info("token.revoked", owner=owner, token_id=token_id)
