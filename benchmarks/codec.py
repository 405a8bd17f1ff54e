"""Encoding speed and size against Pillow, OpenCV and tifffile, with every sample or the PSNR compared in the same run.

`python -m benchmarks.codec` prints a table and writes `benchmarks/results/codec.json`. The encoders of a format take
turns, so that a neighbour's load hits all of them; figures are medians. The picture is a photograph enlarged four times
by Lanczos, with a little noise: about what an upscaler's output is to a codec.
"""

import argparse
import io
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data
import tifffile
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.results import save
from pipeline.formats import Written
from processors.bands import Bands
from processors.codecs import png
from processors.codecs.encode import encode
from processors.picture import Picture

Samples: TypeAlias = npt.NDArray[np.uint8]
Encoder: TypeAlias = Callable[[], object]

SCALE: Final = 4
NOISE_SIGMA: Final = 1.0
LOSSLESS: Final[tuple[Written, ...]] = ("png", "tiff")
QUALITY: Final[Mapping[Written, int]] = {"jpeg": 95, "webp": 90, "avif": 70}
MAX_LOSS_DB: Final = 1.0  # that ours may lie below the reference at the same quality


@dataclass(frozen=True, slots=True)
class Row:
    """One encoder: *ratio* is the reference's time by its own, *size_ratio* its size by the reference's."""

    format: Written
    encoder: str
    milliseconds: float
    ratio: float
    bytes: int
    size_ratio: float
    psnr_db: float | None


def photograph(side: int) -> Samples:
    """(side, side, 3): a photograph enlarged four times by Lanczos, with Gaussian noise of one step."""
    astronaut: Any = skimage.data.astronaut  # type: ignore[no-untyped-call, unused-ignore]
    small = Image.fromarray(astronaut()).crop((0, 0, side // SCALE, side // SCALE))
    large = np.asarray(small.resize((side, side), Image.Resampling.LANCZOS), np.float32)
    noise = np.random.default_rng(4).normal(0, NOISE_SIGMA, large.shape)
    return np.clip(large + noise, 0, 255).round().astype(np.uint8)


def encoders(pixels: Samples, one: Bands, two: Bands) -> dict[Written, dict[str, Encoder]]:
    """By format and name; the first of each format is the reference."""
    image, bgr = Image.fromarray(pixels), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    picture = Picture(pixels, None, None, "png")
    ours: dict[Written, dict[str, Encoder]] = {
        name: {"enlarger": lambda name=name, quality=quality: encode(picture, format=name, quality=quality)}  # type: ignore[misc]
        for name, quality in QUALITY.items()
    }
    jpeg, webp, avif = QUALITY["jpeg"], QUALITY["webp"], QUALITY["avif"]
    full_chroma = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return {
        "png": {
            "Pillow": lambda: with_pillow(image, "PNG"),
            "Pillow, level 1": lambda: with_pillow(image, "PNG", compress_level=1),
            "OpenCV": lambda: with_opencv(bgr, "png"),
            "enlarger, 1 thread": lambda: as_png(picture, one),
            "enlarger, 2 threads": lambda: as_png(picture, two),
        },
        "jpeg": {
            "Pillow": lambda: with_pillow(image, "JPEG", quality=jpeg, subsampling="4:4:4"),
            "OpenCV": lambda: with_opencv(bgr, "jpg", cv2.IMWRITE_JPEG_QUALITY, jpeg, *full_chroma),
            **ours["jpeg"],
        },
        "webp": {
            "Pillow": lambda: with_pillow(image, "WEBP", quality=webp),
            "OpenCV": lambda: with_opencv(bgr, "webp", cv2.IMWRITE_WEBP_QUALITY, webp),
            **ours["webp"],
        },
        "avif": {"Pillow": lambda: with_pillow(image, "AVIF", quality=avif, max_threads=1), **ours["avif"]},
        "tiff": {
            "Pillow": lambda: with_pillow(image, "TIFF", compression="tiff_adobe_deflate"),
            "tifffile": lambda: with_tifffile(pixels),
            "enlarger, 1 thread": lambda: encode(picture, format="tiff"),
        },
    }


def with_pillow(image: Image.Image, name: str, **parameters: Any) -> bytes:
    """What Pillow writes."""
    file = io.BytesIO()
    image.save(file, name, **parameters)
    return file.getvalue()


def with_opencv(bgr: Any, suffix: str, *parameters: int) -> object:
    """What OpenCV writes."""
    return cv2.imencode(f".{suffix}", bgr, parameters)[1]


def with_tifffile(pixels: Samples) -> bytes:
    """What tifffile writes, deflated with a predictor."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, compression="zlib", predictor=True, photometric="rgb")
    return file.getvalue()


def as_png(picture: Picture, bands: Bands) -> bytes:
    """What we write, on the threads of *bands*."""
    file = io.BytesIO()
    png.write(picture, file, bands)
    return file.getvalue()


def in_turns(runs: Mapping[str, Encoder], rounds: int) -> dict[str, float]:
    """The median seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return {name: median(values) for name, values in seconds.items()}


def measured(name: Written, runs: Mapping[str, Encoder], pixels: Samples, rounds: int) -> list[Row]:
    """A row per encoder of one format, once it has shown that it writes the picture."""
    files = {encoder: bytes(memoryview(run())) for encoder, run in runs.items()}  # type: ignore[arg-type]
    losses = {encoder: psnr_db(data, pixels) for encoder, data in files.items()}
    seconds = in_turns(runs, rounds)
    first = next(iter(runs))
    for encoder, loss in losses.items():
        if name in LOSSLESS and loss is not None:
            raise SystemExit(f"{encoder} lost samples in {name}")
        if loss is not None and loss < (losses[first] or 0) - MAX_LOSS_DB:
            raise SystemExit(f"{encoder} writes a worse {name}: {loss:.2f} dB")
    return [
        Row(
            format=name,
            encoder=encoder,
            milliseconds=1000 * seconds[encoder],
            ratio=seconds[first] / seconds[encoder],
            bytes=len(files[encoder]),
            size_ratio=len(files[encoder]) / len(files[first]),
            psnr_db=losses[encoder],
        )
        for encoder in runs
    ]


def psnr_db(data: bytes, pixels: Samples) -> float | None:
    """How near *data* decodes to *pixels*; None when every sample is the same."""
    read = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float64)
    error = float(((read - pixels) ** 2).mean())
    return None if error == 0 else 10 * float(np.log10(255**2 / error))


def show(rows: list[Row], title: str) -> None:
    """Print *rows* as a table."""
    table = Table("format", "encoder", "ms", "times the first", "bytes", "of the first", "PSNR dB", title=title)
    for row in rows:
        psnr = "equal" if row.psnr_db is None else f"{row.psnr_db:.2f}"
        figures = f"{row.milliseconds:.1f}", f"{row.ratio:.2f}", f"{row.bytes:,}", f"{row.size_ratio:.3f}"
        table.add_row(row.format, row.encoder, *figures, psnr)
    Console(width=110).print(table)


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=2048, help="of the picture, in pixels (default 2048)")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    pixels = photograph(given.side)
    runs = encoders(pixels, Bands(), Bands(2))
    rows = [row for name, of in runs.items() for row in measured(name, of, pixels, given.rounds)]
    show(rows, f"{given.side} x {given.side} RGB, medians of {given.rounds} rounds in turns")
    pngs = {row.encoder: row for row in rows if row.format == "png"}
    one, two = pngs["enlarger, 1 thread"], pngs["enlarger, 2 threads"]
    second_thread = one.milliseconds / two.milliseconds
    print(f"PNG: {one.ratio:.1f} times Pillow on one thread, {second_thread:.2f} times that on two")
    about = {"side_px": given.side, "rounds": given.rounds, "noise_sigma": NOISE_SIGMA, "second_thread": second_thread}
    print(f"written to {save('codec', {**about, 'rows': [asdict(row) for row in rows]})}")


if __name__ == "__main__":
    main()
