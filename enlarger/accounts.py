"""Your own account."""

from enlarger.account_models import Me
from enlarger.calls import Calls, call
from enlarger.reading import read


class Accounts(Calls):
    """Who you are, and your session, where you signed in with a `Login`."""

    @call
    async def me(self) -> Me:
        """Tell whom the token stands for, and what it can be used for."""
        return read(Me, await self._ask("GET", "/v1/me"))

    @call
    async def register(self) -> Me:
        """Make the account that this client's `Login` names, where the service lets anybody. Tried once."""
        return await self._bearer.register()

    @call
    async def change_password(self, current: str, new: str) -> None:
        """Change your password. Every other session ends; this client goes on. Tried once."""
        await self._bearer.change_password(current, new)

    @call
    async def logout(self) -> None:
        """End the session. What this client is asked for afterwards is refused: `session_missing`."""
        await self._bearer.end()
