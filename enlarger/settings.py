"""Where the service is, and who calls it: as given, else as the environment says."""

import os
import re

from enlarger.errors import EnlargerError
from enlarger.login import Login


def settings(url: str | None, token: str | Login | None) -> tuple[str, str | Login]:
    """The address and the token, those of `ENLARGER_URL` and `ENLARGER_TOKEN` where none is given.

    Raises:
        EnlargerError: `settings_missing`, or `settings_invalid` for what cannot be an address or a token.
    """
    url = _said("ENLARGER_URL") if url is None else url
    token = _said("ENLARGER_TOKEN") if token is None else token
    if re.match(r"https?://[^\s/]", url) is None:
        raise EnlargerError(
            f"{url!r} is no http:// or https:// address", code="settings_invalid", hint="Set ENLARGER_URL."
        )
    if isinstance(token, str) and not (token.isascii() and token.isprintable() and token.strip() == token != ""):
        hint = "Set ENLARGER_TOKEN to the token exactly as it was given."
        raise EnlargerError(
            "The token is empty or holds characters that no token has", code="settings_invalid", hint=hint
        )
    return url, token


def _said(name: str) -> str:
    said = os.environ.get(name)
    if said is None:
        raise EnlargerError(f"{name} is not set", code="settings_missing", hint="Export it, or give it to the client.")
    return said
