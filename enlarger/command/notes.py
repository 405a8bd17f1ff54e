"""What the notes of a job mean, for people."""

from collections.abc import Mapping
from typing import Final

#: The words that the service uses, as docs/api.md lists them.
MEANINGS: Final[Mapping[str, str]] = {
    "first_frame_only": "only the first frame or page was enlarged",
    "depth_reduced": "16 bits per sample became 8; png and tiff can keep 16",
    "profile_ignored": "its colour profile is broken or for other colours, and was dropped",
    "profile_converted": "its CMYK colours became sRGB, by its profile",
    "profile_assumed": "its CMYK colours became sRGB without a profile, so they may be off",
    "profile_made": "it got a colour profile, made from what the file says of its colours in other words",
    "metadata_dropped": "its metadata is broken, and was dropped",
    "face_unavailable": "there is no face model, so `face` did nothing",
    "fast_unavailable": "`fast` made no difference: no faster form of the model can be used for it here",
    "output_reused": "the same file had been enlarged with the same options before; its output was kept",
}


def in_words(note: str) -> str:
    """The sentence of *note*; the word itself where a newer service says something new."""
    return MEANINGS.get(note, f"the service notes {note}")
