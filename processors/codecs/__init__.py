"""File bytes to pixels and back. Runs inside a sandboxed child only: the bytes come from strangers."""

import io

import cv2
import numpy as np
import PIL.AvifImagePlugin
import tifffile
from PIL import Image

from pipeline.formats import FORMATS
from processors.codecs.colour import srgb_profile, to_srgb
from processors.codecs.decode import decode
from processors.codecs.encode import encode, write

__all__ = ["decode", "encode", "warm", "write"]


def warm() -> None:
    """Load what the codecs load at first use: a confined child can open no file."""
    PIL.AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # a confined child can start no thread
    cv2.setNumThreads(1)
    Image.preinit()
    tile = Image.new("RGB", (16, 16))
    to_srgb(tile.convert("CMYK"), None)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in FORMATS:
        file = io.BytesIO()
        with_all = {"exif": exif, "icc_profile": srgb_profile()}
        tile.save(file, name.upper(), **(with_all if name not in {"bmp", "gif"} else {}))
        decode(file.getvalue(), max_pixels=256)
    file = io.BytesIO()
    planes = np.zeros((3, 16, 16), np.uint16)
    tifffile.imwrite(file, planes, photometric="rgb", planarconfig="separate", compression="zlib", predictor=True)
    decode(file.getvalue(), max_pixels=256)
