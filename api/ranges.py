"""Which part of a file a request asks for (RFC 9110, section 14). Pure."""

import re
from typing import Final

from pipeline.errors import PipelineError

#: More than one part, other units and what is malformed may be ignored (section 14.2); no file has 10^18 bytes.
_RANGE: Final = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.ASCII | re.IGNORECASE)
Span = tuple[int, int]


class RangeUnsatisfiableError(PipelineError):
    """The part begins behind the end of the file; *headers* tell how long that is."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(
            f"The file has {size_bytes} bytes.",
            code="range_unsatisfiable",
            hint="Ask for a range that begins within the file, or leave the header Range out.",
        )
        self.headers = {"content-range": f"bytes */{size_bytes}"}


def span_of(header: str, size_bytes: int) -> Span | None:
    """The first and the last byte that *header* asks for; None stands for the whole file.

    Raises:
        RangeUnsatisfiableError: No byte of the file is in it.
    """
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None:
        return None
    first, last, suffix = match.groups()
    begin = int(first) if first else max(0, size_bytes - int(suffix))
    end = min(int(last), size_bytes - 1) if last else size_bytes - 1
    if first and last and int(last) < int(first):
        return None
    if begin > end:
        raise RangeUnsatisfiableError(size_bytes)
    return begin, end
