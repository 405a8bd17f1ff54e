"""What goes along of EXIF and XMP by each policy: nothing that no longer holds, and no position unless asked for."""

import io
from typing import Any, get_args
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from processors import codecs
from processors.codecs.ifd import Directory, Entry, numbers, order_of, read, write
from processors.codecs.metadata import Policy, kept_exif, kept_xmp
from processors.picture import MAX_METADATA_BYTES
from tests.fixtures import photo, saved, tiff

POLICIES: tuple[Policy, ...] = get_args(Policy)
BASE, GPS = ExifTags.Base, ExifTags.GPS
MAKER_NOTE = b"maker\0\1\2\xff" * 9
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
  xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
  xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/" xmlns:drone="http://www.dji.com/drone-dji/1.0/"
  xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"
  exif:GPSLatitude="48,8.0N" drone:GpsLongitude="+11.5" tiff:Orientation="6" exif:PixelXDimension="64"
  xmp:Rating="4" xmpRights:Marked="True" hdrgm:Version="1.0">
<exif:GPSLongitude>11,30.0E</exif:GPSLongitude>
<dc:creator><rdf:Seq><rdf:li>Zoë</rdf:li></rdf:Seq></dc:creator>
<dc:subject><rdf:Bag><rdf:li>bridge</rdf:li></rdf:Bag></dc:subject>
<xmp:Thumbnails><rdf:Alt><rdf:li>AAAA</rdf:li></rdf:Alt></xmp:Thumbnails>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def camera_exif() -> bytes:
    """A camera's EXIF, by Pillow, with a preview in its second directory put behind by hand."""
    exif = Image.Exif()
    exif[BASE.Make], exif[BASE.Artist], exif[BASE.Copyright] = "Maker", "Somebody", "All of it"
    exif[BASE.Orientation], exif[BASE.ImageWidth] = 6, 64
    exif[ExifTags.IFD.Exif] = {
        BASE.ExposureTime: 0.004,
        BASE.ExifImageWidth: 64,
        BASE.ExifImageHeight: 48,
        BASE.MakerNote: MAKER_NOTE,
    }
    exif[ExifTags.IFD.GPSInfo] = {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (48.0, 8.0, 0.0)}
    body = exif.tobytes()[6:]
    order = "little" if body[:2] == b"II" else "big"
    end = 8 + 2 + 12 * int.from_bytes(body[8:10], order)  # type: ignore[arg-type]
    preview = (0).to_bytes(6, "little") + b"PREVIEW"
    return body[:end] + len(body).to_bytes(4, order) + body[end + 4 :] + preview  # type: ignore[arg-type]


def opened(structure: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(structure)
    return exif


def with_metadata(name: str, *, exif: bytes = b"", xmp: bytes = b"") -> bytes:
    """A file by Pillow; to PNG, XMP is a text like any other."""
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp)
    how = {"pnginfo": text} if name == "PNG" else {"xmp": xmp}
    return saved(photo(), name, exif=b"Exif\0\0" + exif if exif else b"", **(how if xmp else {}))


# --- EXIF -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["keep", "keep-gps"])
def test_exif_goes_along_upright_and_without_the_old_size_and_preview(policy: Policy) -> None:
    kept = kept_exif(camera_exif(), policy)
    exif = opened(kept)
    below = exif.get_ifd(ExifTags.IFD.Exif)
    assert (exif[BASE.Make], exif[BASE.Artist], exif[BASE.Orientation]) == ("Maker", "Somebody", 1)
    assert (float(below[BASE.ExposureTime]), below[BASE.MakerNote]) == (0.004, MAKER_NOTE)
    assert not {BASE.ExifImageWidth, BASE.ExifImageHeight} & below.keys()
    assert BASE.ImageWidth not in exif
    assert b"PREVIEW" not in kept


def test_the_position_goes_along_only_when_it_is_kept_on_purpose() -> None:
    structure = camera_exif()
    assert opened(structure).get_ifd(ExifTags.IFD.GPSInfo)
    for policy in POLICIES:
        kept = kept_exif(structure, policy)
        position = opened(kept).get_ifd(ExifTags.IFD.GPSInfo) if kept else {}
        assert bool(position) == (policy == "keep-gps")
        assert not position or position[GPS.GPSLatitude] == (48.0, 8.0, 0.0)


def test_copyright_keeps_whose_it_is_and_nothing_else() -> None:
    assert dict(opened(kept_exif(camera_exif(), "copyright"))) == {BASE.Artist: "Somebody", BASE.Copyright: "All of it"}


def test_strip_keeps_nothing_and_does_not_even_look() -> None:
    assert kept_exif(b"no TIFF structure", "strip") == b""
    assert kept_xmp(b"no XML", "strip") == b""


def test_text_that_is_not_ascii_is_kept_byte_for_byte() -> None:
    name = "Zoë Müller\0".encode()
    structure = write("<", {BASE.Artist: Entry(2, len(name), name)}, {})
    assert read(kept_exif(structure, "keep"))[BASE.Artist].data == name


def test_the_description_of_a_tiffs_own_samples_is_no_exif() -> None:
    data = tiff(photo(), photometric="rgb", description="a bridge", resolution=(300, 300))
    kept = read(codecs.decode(data, max_pixels=10_000).exif)
    assert kept[BASE.ImageDescription].data == b"a bridge\0"
    assert not {BASE.ImageWidth, BASE.StripOffsets, BASE.BitsPerSample} & kept.keys()


@pytest.mark.parametrize("big", [False, True])
def test_exif_in_a_tiff_of_either_size_is_kept(big: bool) -> None:  # noqa: FBT001
    exif = opened(camera_exif())
    del exif[BASE.ImageWidth]
    data = saved(photo(), "TIFF", exif=exif, big_tiff=big)
    kept = opened(codecs.decode(data, max_pixels=10_000).exif)
    assert (kept[BASE.Make], kept[BASE.Orientation]) == ("Maker", 1)
    assert kept.get_ifd(ExifTags.IFD.Exif)[BASE.MakerNote] == MAKER_NOTE
    assert not kept.get_ifd(ExifTags.IFD.GPSInfo)


# --- XMP --------------------------------------------------------------------------------------------------------------


def names(packet: bytes) -> set[str]:
    """Every name of an element or attribute, without its namespace."""
    root = ET.fromstring(packet.decode().strip("\ufeff"))  # noqa: S314
    return {name.rpartition("}")[2] for element in root.iter() for name in (element.tag, *element.attrib)}


def test_xmp_goes_along_upright_and_without_position_size_and_preview() -> None:
    kept = kept_xmp(XMP.encode(), "keep")
    assert names(kept) == {"xmpmeta", "RDF", "Description", "about", "Orientation", "Rating", "Marked", "creator"} | {
        *("Seq", "li", "subject", "Bag")
    }
    assert b'tiff:Orientation="1"' in kept
    assert "Zoë" in kept.decode()


def test_xmp_keeps_the_position_on_purpose() -> None:
    assert {"GPSLatitude", "GPSLongitude", "GpsLongitude"} <= names(kept_xmp(XMP.encode(), "keep-gps"))


def test_copyright_keeps_of_xmp_whose_it_is_and_nothing_else() -> None:
    kept = names(kept_xmp(XMP.encode(), "copyright"))
    assert kept == {"xmpmeta", "RDF", "Description", "about", "Marked", "creator", "Seq", "li"}
    without = XMP.replace("dc:creator", "dc:title").replace("xmpRights:Marked", "xmp:Nickname")
    assert kept_xmp(without.encode(), "copyright") == b""


def test_xmp_of_which_nothing_has_to_go_is_kept_byte_for_byte() -> None:
    packet = kept_xmp(XMP.encode(), "keep")
    assert kept_xmp(packet, "keep") == packet


@pytest.mark.parametrize(
    "packet",
    [
        b"\xff\xfe<\0",
        b"<unclosed",
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        b"<x>" + b" " * MAX_METADATA_BYTES + b"</x>",
        b"<x>&undeclared;</x>",
    ],
)
def test_xmp_that_is_none_or_could_grow_is_refused(packet: bytes) -> None:
    for policy in ("keep", "copyright"):
        with pytest.raises(ValueError, match=r"XMP|codec|large"):
            kept_xmp(packet, policy)


# --- whole files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_metadata_is_found_in_every_format_that_has_it(name: str) -> None:
    data = with_metadata(name, exif=camera_exif(), xmp=XMP.encode())
    picture = codecs.decode(data, max_pixels=10_000, metadata="keep")
    assert opened(picture.exif)[BASE.Make] == "Maker"
    assert "Zoë" in picture.xmp.decode()
    assert picture.notes == ()
    nothing = codecs.decode(data, max_pixels=10_000, metadata="strip")
    assert (nothing.exif, nothing.xmp, nothing.icc) == (b"", b"", None)


def test_xmp_is_found_in_a_tiff() -> None:
    data = tiff(photo(), photometric="rgb", extratags=[(700, "B", len(XMP.encode()), XMP.encode(), True)])
    assert b"Zo" in codecs.decode(data, max_pixels=10_000).xmp


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *[(name, {"exif": b"not a directory"}) for name in ("JPEG", "PNG", "WEBP")],
        *[(name, {"xmp": b"not XML"}) for name in ("JPEG", "PNG", "WEBP", "AVIF")],
    ],
)
def test_broken_metadata_is_left_out_and_said_so(name: str, how: dict[str, bytes]) -> None:
    picture = codecs.decode(with_metadata(name, **how), max_pixels=10_000)
    assert (picture.exif, picture.xmp, picture.notes) == (b"", b"", ("metadata_dropped",))
    assert np.abs(picture.pixels.astype(int) - photo()).mean() < 12


@given(st.binary(max_size=300), st.sampled_from(POLICIES))
def test_any_bytes_for_exif_give_exif_or_a_value_error(data: bytes, policy: Policy) -> None:
    for structure in (data, b"II*\0\x08\0\0\0" + data, b"MM\0*\0\0\0\x08" + data, b"II+\0\x08\0\0\0" + data):
        try:
            kept = kept_exif(structure, policy)
        except ValueError:
            continue
        assert not kept or read(kept)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_damaged_exif_gives_exif_or_a_value_error(place: int, value: int) -> None:
    damaged = bytearray(camera_exif())
    damaged[place % len(damaged)] = value
    try:
        kept = kept_exif(bytes(damaged), "keep")
    except ValueError:
        return
    assert b"PREVIEW" not in kept


# --- directories ------------------------------------------------------------------------------------------------------

entries = st.builds(lambda data: Entry(1, len(data), data), st.binary(min_size=1, max_size=9))
directories = st.dictionaries(st.integers(1, 60_000), entries, min_size=1, max_size=6)


@given(st.sampled_from(["<", ">"]), directories, directories)
def test_a_written_directory_reads_as_it_was(order: Any, first: Directory, below: Directory) -> None:
    data = write(order, first, {65_000: below, 65_001: b"loose"})
    back = read(data)
    places = [numbers(back.pop(tag), order_of(data))[0] for tag in (65_000, 65_001)]
    assert (back, read(data, places[0]), order_of(data)) == (first, below, order)
    assert data[places[1] : places[1] + 5] == b"loose"


@given(directories)
def test_pillow_reads_a_written_directory(first: Directory) -> None:
    back = opened(write("<", first, {}))
    assert set(back) == set(first)


def test_a_value_that_lies_outside_is_left_out() -> None:
    data = write("<", {BASE.Artist: Entry(2, 20, b"a" * 20), BASE.Orientation: Entry(3, 1, b"\1\0")}, {})
    assert set(read(data[:-1])) == {BASE.Orientation}


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_what_is_kept_opens_in_a_written_file(name: str) -> None:
    kept = kept_exif(camera_exif(), "keep-gps")
    again = Image.open(io.BytesIO(with_metadata(name, exif=kept))).getexif()
    assert again.get_ifd(ExifTags.IFD.GPSInfo)[GPS.GPSLatitudeRef] == "N"
