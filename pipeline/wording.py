"""What pydantic found wrong with options, in words for who wrote them. Pure."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Final

from pydantic_core import ErrorDetails

#: Of a text that was given; what is longer is cut.
_SHOWN_CHARACTERS: Final = 40


def wording(error: ErrorDetails, *, takes: Mapping[str, str], known: Collection[str]) -> str:
    """Say what was given, and what the option takes.

    Args:
        error: One of `ValidationError.errors()`, with its input.
        takes: What the option of that name takes; under "" what stands where no name does: an entry of a list.
        known: The names that stand beside an unknown one.
    """
    name = error["loc"][-1] if error["loc"] else None
    if error["type"] == "extra_forbidden":
        return f"there is no such option; {closest(str(name), known)}"
    return f"{_shown(error['input'])} was given; it takes {takes[name if isinstance(name, str) else '']}"


def closest(word: str, known: Collection[str]) -> str:
    """Ask whether a known word was meant, or list them all."""
    near = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def _shown(value: object) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}…")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return "null" if value is None else "an object"


def _number(value: float) -> str:
    try:
        return f"{value:.10g}"
    except OverflowError:
        return "a number beyond all bounds"
