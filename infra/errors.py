"""The one error of this package."""


class SetupError(Exception):
    """Something on this machine, or on a server, is not as it must be. The text says what to do; commands print it."""
