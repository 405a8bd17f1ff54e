"""API tokens of whoever asks."""

from collections.abc import Sequence

from enlarger.account_models import NewToken, Token, TokenList
from enlarger.calls import Calls, call, path
from enlarger.reading import read


class Tokens(Calls):
    """What machines send as bearer; for tokens with the scope `tokens:write`."""

    @call
    async def tokens(self) -> tuple[Token, ...]:
        """List your tokens, newest first, without their secrets."""
        return read(TokenList, await self._ask("GET", "/v1/tokens")).items

    @call
    async def create_token(
        self, name: str, *, scopes: Sequence[str] | None = None, expires_in_days: int | None = None
    ) -> NewToken:
        """Make a token; its secret is told this once. Tried once: a second try would make a second one.

        Args:
            name: What it is for.
            scopes: Such as `jobs:read`; None: to read and write jobs.
            expires_in_days: None: it is good until it is revoked.
        """
        given = {"name": name, "scopes": scopes, "expires_in_days": expires_in_days}
        body = {field: value for field, value in given.items() if value is not None}
        return read(NewToken, await self._ask("POST", "/v1/tokens", once=True, json=body))

    @call
    async def revoke_token(self, token_id: str) -> None:
        """Make a token useless."""
        await self._ask("DELETE", path("tokens", token_id))
