"""The options that folders of a key spell, such as `trip/@x2,webp/a.jpg`. Pure."""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final, get_args

from pipeline.option_values import FORMAT_NAMES, Preset
from pipeline.options import InvalidOptionsError, Options, parse

_IGNORED_SEGMENTS: Final = frozenset({"@eaDir"})  # NAS indexers make these folders
#: Words with a value in them: pattern, option, how the value is read.
_PATTERNS: Final[tuple[tuple[re.Pattern[str], str, Callable[[str], Any]], ...]] = tuple(
    (re.compile(pattern), name, read)
    for pattern, name, read in (
        (r"x([0-9]{1,2}(?:\.[0-9]{1,3})?)", "scale", float),
        (r"w([0-9]{1,10})", "width", int),
        (r"h([0-9]{1,10})", "height", int),
        (r"min([0-9]{1,10})", "min", int),
        (r"max([0-9]{1,10})", "max", int),
        (r"fit([0-9]+x[0-9]+)", "fit", str),
        (r"m-(.*)", "model", str),
        (r"dn([0-9]{1,3})", "denoise", int),
        (r"face([0-9]{1,3})", "face", int),
        (r"q([0-9]{1,3})", "quality", int),
    )
)
#: Words that say it all.
_WORDS: Final[Mapping[str, tuple[str, Any]]] = {
    **{preset: ("preset", preset) for preset in get_args(Preset)},
    **{name: ("format", name) for name in FORMAT_NAMES},
    "face": ("face", True),  # the option: `photo,face` is what the preset of this name says
    "gray": ("gray", True),
    "lossless": ("lossless", True),
    "strip": ("metadata", "strip"),
}
_OTHER_OPERATIONS: Final = re.compile(r"assess|enhance[0-9]*")
_HINT: Final = (
    "Write x2, w1920, h1080, min2160, max4096, fit800x600, m-NAME, dn50, face, q90, gray, lossless, strip, a format "
    "(png, jpg, webp, avif, tiff) or a preset (standard, photo, art), with commas; @@ starts a folder that is none."
)


def from_key(key: str) -> list[Options]:
    """Options from each `@segment` among the key's folders, the nearest first; raises `options_invalid`.

    `@@name` is a folder that really starts with `@`; the file's own name is never read.
    """
    folders = reversed(key.split("/")[:-1])
    return [from_segment(folder) for folder in folders if folder.startswith("@") and not _is_a_name(folder)]


def _is_a_name(folder: str) -> bool:
    return folder.startswith("@@") or folder in _IGNORED_SEGMENTS


def from_segment(segment: str) -> Options:
    """Options from one segment, such as `@x2,webp,q90`."""
    values: dict[str, Any] = {}
    for word in segment[1:].split(","):
        name, value = _from_word(word, segment)
        if name in values:
            raise InvalidOptionsError(f"{segment!r} says {name} twice", "Keep one of the two.")
        values[name] = value
    return parse(values)


def _from_word(word: str, segment: str) -> tuple[str, Any]:
    if word in _WORDS:
        return _WORDS[word]
    for pattern, name, read in _PATTERNS:
        if match := pattern.fullmatch(word):
            return name, read(match[1])
    if _OTHER_OPERATIONS.fullmatch(word):
        hint = "Folders ask for upscaling alone; leave the word out."
        raise InvalidOptionsError(f"{segment!r}: {word!r} is an operation that is not there yet", hint)
    near = get_close_matches(word.lower(), _WORDS, n=1)
    meant = f"; did you mean {near[0]}?" if near else "."
    raise InvalidOptionsError(f"{segment!r} is no option: {word!r} is not understood{meant}", _HINT)
