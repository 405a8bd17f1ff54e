"""What of a file's EXIF and XMP goes along with its picture, by the owner's choice. Pure.

Whatever the choice: the pixels are upright and of another size afterwards, so the orientation is 1, sizes in pixels and
previews of the old picture are left out, and so is what is said about parts of the file that are not kept.
"""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, Literal, TypeAlias
from xml.etree import ElementTree as ET

from processors.codecs.ifd import SHORT, Directory, Entry, numbers, order_of, read, write
from processors.picture import MAX_METADATA_BYTES

Policy: TypeAlias = Literal["keep", "keep-gps", "copyright", "strip"]

_ORIENTATION: Final = 0x0112
_EXIF_AT, _GPS_AT = 0x8769, 0x8825
_COPYRIGHT: Final = frozenset((0x013B, 0x8298))  # Artist, Copyright
# In a TIFF, the first directory is mostly about how the samples lie in the file: what describes the picture is listed.
# Description, make, model, resolution, software, date, host, rating, names of the Windows Explorer.
_DESCRIPTIVE: Final = _COPYRIGHT | {
    *(0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013C),
    *(0x4746, 0x4749, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),
}
_OLD_PIXELS: Final = frozenset((0xA002, 0xA003, 0xA005))  # PixelXDimension, PixelYDimension; the third is a pointer


def kept_exif(structure: bytes, policy: Policy) -> bytes:
    """What *policy* keeps of *structure*, an EXIF block without its prefix or a whole TIFF file; empty for nothing.

    Raises:
        ValueError: It is no TIFF structure, or what would be kept is too large.
    """
    if policy == "strip" or not structure:
        return b""
    order, first = order_of(structure), read(structure)
    if policy == "copyright":
        main, children = {tag: first[tag] for tag in _COPYRIGHT & first.keys()}, {}
    else:
        main = {tag: first[tag] for tag in _DESCRIPTIVE & first.keys()}
        children = dict(_children(structure, first, gps=policy == "keep-gps"))
    if not main and not children:
        return b""
    if policy != "copyright":
        main[_ORIENTATION] = Entry(SHORT, 1, b"\1\0" if order == "<" else b"\0\1")
    return _bounded(write(order, main, children))


def _children(structure: bytes, first: Directory, *, gps: bool) -> Iterator[tuple[int, Directory | bytes]]:
    """The directories below the *first* that are kept. One that is damaged is left out."""
    for pointer in (_EXIF_AT, _GPS_AT) if gps else (_EXIF_AT,):
        place = numbers(first.get(pointer), order_of(structure))
        with suppress(ValueError):
            if place:
                below = read(structure, place[0])
                yield pointer, {tag: entry for tag, entry in below.items() if tag not in _OLD_PIXELS}


# --- XMP --------------------------------------------------------------------------------------------------------------

_RDF: Final = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_TIFF: Final = "{http://ns.adobe.com/tiff/1.0/}"
_TURNED: Final = f"{_TIFF}Orientation"
_RIGHTS: Final = re.compile(
    r"\{http://purl\.org/dc/elements/1\.1/\}(creator|rights)|\{http://ns\.adobe\.com/xap/1\.0/rights/\}.*"
)
_POSITION: Final = re.compile(r"\{[^}]*\}(?i:gps.*|latitude|longitude)")  # drones have namespaces of their own
# Old sizes and previews, and pointers at what else was in the file: more XMP, a gain map, a film.
_STALE: Final = re.compile(
    r"\{http://ns\.adobe\.com/exif/1\.0/\}Pixel[XY]Dimension"
    r"|\{http://ns\.adobe\.com/tiff/1\.0/\}Image(Width|Length)"
    r"|\{http://ns\.adobe\.com/xap/1\.0/\}Thumbnails"
    r"|\{http://ns\.adobe\.com/xmp/note/\}HasExtendedXMP"
    r"|\{http://ns\.adobe\.com/hdr-gain-map/1\.0/\}.*"
    r"|\{http://ns\.google\.com/photos/1\.0/(camera|container)/\}.*"
)
_WRAPPER: Final = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{}<?xpacket end="r"?>'


def kept_xmp(packet: bytes, policy: Policy) -> bytes:
    """What *policy* keeps of an XMP *packet*; the very same bytes where nothing has to go.

    Raises:
        ValueError: It is no XMP in UTF-8, has a document type, or what would be kept is too large.
    """
    packet = packet.rstrip(b"\0")
    if policy == "strip" or not packet:
        return b""
    text = _bounded(packet).decode()
    if "<!DOCTYPE" in text:  # the only place where entities are declared, which could grow without bound
        raise ValueError("XMP has no document type")
    try:
        root = _parsed(text.strip("\ufeff \t\r\n"))
    except ET.ParseError as error:
        raise ValueError("the XMP packet is no XML") from error
    if policy == "copyright":
        changed, kept = True, _only_rights(root)
    else:
        changed, kept = _pruned(root, gps=policy == "keep-gps"), True
    if not changed:
        return packet
    return _bounded(_WRAPPER.format(ET.tostring(root, "unicode")).encode()) if kept else b""


def _parsed(text: str) -> ET.Element:
    """The root of *text*; prefixes of its namespaces are written again as they are read."""
    for _, (prefix, address) in ET.iterparse(io.StringIO(text), ("start-ns",)):  # noqa: S314 - no document type, see above
        with suppress(ValueError):  # "ns1" and its like are reserved
            ET.register_namespace(prefix, address)
    return ET.fromstring(text)  # noqa: S314


def _only_rights(root: ET.Element) -> bool:
    """Take from *root* every property that does not say whose the picture is; whether any is left."""
    for description in root.iter(f"{_RDF}Description"):
        _remove(description, lambda name: not name.startswith(_RDF) and not _RIGHTS.fullmatch(name))
    return any(_RIGHTS.fullmatch(name) for element in root.iter() for name in (element.tag, *element.attrib))


def _pruned(root: ET.Element, *, gps: bool) -> bool:
    """Take from *root* what no longer holds, and the position unless *gps*; whether anything was changed."""
    stale = _STALE if gps else re.compile(f"{_STALE.pattern}|{_POSITION.pattern}")
    changed = False
    for element in root.iter():
        changed |= _remove(element, lambda name: stale.fullmatch(name) is not None)
        if element.get(_TURNED, "1") != "1":
            element.set(_TURNED, "1")
            changed = True
        if element.tag == _TURNED and element.text != "1":
            element.text, changed = "1", True
    return changed


def _remove(element: ET.Element, unwanted: Callable[[str], bool]) -> bool:
    """Take attributes and children of *element* whose name is *unwanted*; whether there were any."""
    attributes = [name for name in element.attrib if unwanted(name)]
    children = [child for child in element if unwanted(child.tag)]
    for name in attributes:
        del element.attrib[name]
    for child in children:
        element.remove(child)
    return bool(attributes or children)


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_METADATA_BYTES:
        raise ValueError("the metadata is too large")
    return data
