"""What is decided of an upload before it is queued: its size, its options, whether both are within the limits."""

from collections.abc import Awaitable, Callable, Mapping

from pipeline import header as headers
from pipeline.header import Header
from pipeline.layers import Layer
from pipeline.options import Effective, Options, extra_keys, from_metadata, parse
from pipeline.ports.prefixes import PrefixStore
from pipeline.segments import from_key

#: Reads so many first bytes of the upload.
ReadHead = Callable[[int], Awaitable[bytes]]


async def read_header(read: ReadHead, size_bytes: int) -> Header:
    """Format and size; raises `image_empty`, `format_unsupported` or `image_truncated`."""
    head = await read(headers.HEAD_BYTES)
    found = headers.measure(head)
    if found is None and size_bytes > len(head):
        longer = await read(headers.LONG_HEAD_BYTES)
        found = headers.measure(longer) or headers.unmeasured(headers.sniff(head))
    if found is None:
        raise headers.unreadable(headers.sniff(head))
    return found


async def layers_of(
    prefixes: PrefixStore, owner: str, key: str, *, asked: Options, metadata: Mapping[str, str]
) -> list[Layer]:
    """Every place that says options of an upload, the strongest first; raises `InvalidOptionsError`."""
    folders: list[Layer] = [("segment", options) for options in from_key(key)]
    bound = await prefixes.nearest(owner, key)
    if bound is not None:
        folders.append(("prefix" if bound.prefix else "owner", parse({"preset": bound.preset})))
    return [("request", asked), ("metadata", from_metadata(metadata)), *folders]


def refuse_unfit(header: Header, effective: Effective, key: str, *, max_pixels: int, ephemeral: bool) -> None:
    """Raise why such a picture cannot be enlarged in that way."""
    headers.check_limits(header, max_pixels=max_pixels)
    headers.check_outputs(header, effective, ephemeral=ephemeral)
    extra_keys(key, effective)
