"""Sizes to the pixel: every way to say one, its bounds, and what is too large."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.formats import MAX_SIDE_PX, Written
from pipeline.options import Effective, ExtraOutput
from pipeline.sizes import MAX_FACTOR, MAX_OUTPUT_PIXELS, extra_size, output_sizes, target_size

sides = st.integers(1, 1400)  # sixteen times that is allowed in pixels too
scales = st.integers(1000, 16000).map(lambda thousandths: thousandths / 1000)


def asking(format_: Written = "png", **sizing: Any) -> Effective:
    return Effective(format=format_, quality=90, lossless=False, **({"model": "realesrgan-x4plus"} | sizing))


def size(width: int, height: int, /, **sizing: Any) -> tuple[int, int]:
    """The target; draws again where there is none."""
    try:
        return target_size(width, height, asking(**sizing))
    except PipelineError as error:
        assume(error.code not in {"options_invalid", "image_too_large"})
        raise


def refusal(width: int, height: int, format_: Written = "png", /, **sizing: Any) -> str | None:
    try:
        output_sizes(width, height, asking(format_, **sizing))
    except PipelineError as error:
        return error.code if error.hint else "a refusal without a hint"
    return None


def keeps_its_shape(source: tuple[int, int], target: tuple[int, int]) -> bool:
    """Some one factor explains both sides, each rounded by half a pixel at most, or held at a whole one."""
    spans = [
        (Fraction(after * 2 - 1, before * 2) if after > 1 else Fraction(0), Fraction(after * 2 + 1, before * 2))
        for before, after in zip(source, target, strict=True)
    ]
    return max(low for low, _ in spans) <= min(high for _, high in spans)


@pytest.mark.parametrize(
    ("source", "sizing", "target"),
    [
        ((300, 200), {"scale": 4}, (1200, 800)),
        ((3, 5), {"scale": 1.5}, (5, 8)),  # halves go up
        ((10, 30), {"scale": 1.15}, (12, 35)),  # 11.5 and 34.5, which floats would miss
        ((7, 7), {"scale": 1}, (7, 7)),
        ((300, 200), {"width": 900}, (900, 600)),
        ((300, 200), {"height": 100}, (150, 100)),
        ((300, 200), {"width": 500, "height": 500}, (500, 500)),
        ((300, 200), {"fit": "800x600"}, (800, 533)),
        ((200, 300), {"fit": "800x600"}, (400, 600)),
        ((3000, 2000), {"fit": "800x600"}, (800, 533)),
        ((300, 200), {"min": 1000}, (1500, 1000)),
        ((3000, 2000), {"min": 1000}, (3000, 2000)),  # large enough: nothing is made smaller
        ((300, 200), {"max": 1500}, (1500, 1000)),
        ((3000, 2000), {"max": 1500}, (1500, 1000)),
        ((300, 200), {"scale": 4, "max": 1500}, (1200, 800)),
        ((300, 200), {"scale": 8, "max": 1500}, (1500, 1000)),
        ((300, 200), {"scale": 2, "min": 1000}, (1500, 1000)),
        ((300, 200), {"scale": 6, "min": 1000}, (1800, 1200)),
        ((300, 200), {"min": 500, "max": 2000}, (750, 500)),
        ((3000, 2000), {"min": 500, "max": 2000}, (2000, 1333)),
        ((1000, 1), {"width": 2}, (2, 1)),
    ],
)
def test_sizes(source: tuple[int, int], sizing: dict[str, Any], target: tuple[int, int]) -> None:
    assert target_size(*source, asking(**sizing)) == target


def test_a_photograph_of_24_megapixels_can_be_enlarged_four_times() -> None:
    assert target_size(6000, 4000, asking(scale=4)) == (24000, 16000)


@given(sides, sides, scales)
def test_a_scale_multiplies_both_sides_to_the_nearest_pixel(width: int, height: int, scale: float) -> None:
    target = size(width, height, scale=scale)
    for before, after in zip((width, height), target, strict=True):
        assert abs(Fraction(str(scale)) * before - after) <= Fraction(1, 2)


@given(sides, sides, st.sampled_from(["width", "height", "max", "min"]), st.data())
def test_one_side_is_met_exactly_and_the_other_follows(width: int, height: int, way: str, data: st.DataObject) -> None:
    px = data.draw(st.integers(1, 16 * min(width, height)))
    target = size(width, height, **{way: px})
    met = {"width": target[0], "height": target[1], "max": max(target), "min": min(target)}[way]
    assert met == (max(px, min(width, height)) if way == "min" else px)
    assert keeps_its_shape((width, height), target)


@given(sides, sides, st.data())
def test_both_sides_are_met_exactly_when_both_are_asked_for(width: int, height: int, data: st.DataObject) -> None:
    across, down = (data.draw(st.integers(1, 16 * side)) for side in (width, height))
    assert size(width, height, width=across, height=down) == (across, down)


@given(sides, sides, st.integers(1, 20_000), st.integers(1, 20_000))
def test_a_picture_touches_the_box_that_it_fits_and_never_leaves_it(
    width: int, height: int, across: int, down: int
) -> None:
    target = size(width, height, fit=f"{across}x{down}")
    assert target[0] <= across
    assert target[1] <= down
    assert target[0] == across or target[1] == down
    assert keeps_its_shape((width, height), target)


@settings(suppress_health_check=[HealthCheck.filter_too_much])  # most pairs of bounds contradict each other
@given(sides, sides, st.none() | scales, st.integers(1, 20_000), st.integers(1, 20_000))
def test_bounds_hold_for_the_shorter_and_the_longer_side(
    width: int, height: int, scale: float | None, least: int, most: int
) -> None:
    target = size(width, height, scale=scale, min=least, max=most)
    assert min(target) >= least
    assert max(target) <= most
    assert keeps_its_shape((width, height), target)
    free, factor = size(width, height, scale=scale or 1), Fraction(str(scale or 1))
    if min(width, height) * factor >= least and max(width, height) * factor <= most:  # before anything is rounded
        assert target == free


@given(sides, sides, st.sampled_from(["width", "height", "min", "max", "scale"]), st.data())
def test_asking_for_more_never_gives_less(width: int, height: int, way: str, data: st.DataObject) -> None:
    amounts = scales if way == "scale" else st.integers(1, 16 * min(width, height))
    less, more = sorted(data.draw(amounts) for _ in range(2))
    small, large = size(width, height, **{way: less}), size(width, height, **{way: more})
    assert small[0] <= large[0]
    assert small[1] <= large[1]


@given(sides, sides, st.sampled_from(["width", "height", "min", "max", "scale", "fit"]), st.data())
def test_a_target_is_allowed_or_refused_with_a_code(width: int, height: int, way: str, data: st.DataObject) -> None:
    amount = data.draw(scales if way == "scale" else st.integers(1, 2**31 - 1))
    sizing: dict[str, Any] = {way: f"{amount}x{data.draw(st.integers(1, 10**9 - 1))}" if way == "fit" else amount}
    if (code := refusal(width, height, **sizing)) is not None:
        assert code in {"options_invalid", "image_too_large"}
        return
    target = target_size(width, height, asking(**sizing))
    assert all(1 <= after <= MAX_FACTOR * before for before, after in zip((width, height), target, strict=True))
    assert target[0] * target[1] <= MAX_OUTPUT_PIXELS


@pytest.mark.parametrize(
    ("source", "sizing", "code"),
    [
        ((100, 100), {"scale": 16}, None),
        ((100, 100), {"width": 1600}, None),
        ((100, 100), {"width": 1601}, "options_invalid"),
        ((100, 100), {"width": 100, "height": 1601}, "options_invalid"),
        ((100, 100), {"width": 100, "height": 1601, "model": "lanczos"}, None),
        ((1, 1), {"width": 800, "height": 600, "model": "bicubic"}, None),
        ((100, 100), {"width": 1601, "model": "lanczos"}, "options_invalid"),  # the other side follows
        ((1, 1), {"width": 40_000, "height": 40_000, "model": "lanczos"}, "image_too_large"),
        ((100, 100), {"min": 1601}, "options_invalid"),
        ((4000, 100), {"min": 1000, "max": 4096}, "options_invalid"),  # a panorama cannot be both
        ((6000, 4000), {"scale": 5}, "image_too_large"),
        ((1 << 15, 1 << 14), {"scale": 1}, None),
        ((1 << 15, (1 << 14) + 1), {"scale": 1}, "image_too_large"),
    ],
)
def test_limits_of_every_output(source: tuple[int, int], sizing: dict[str, Any], code: str | None) -> None:
    assert refusal(*source, **sizing) == code


@pytest.mark.parametrize(("format_", "limit"), [("jpeg", 65_500), ("webp", 16_383), ("avif", 32_768)])
@pytest.mark.parametrize("turn", [1, -1])
def test_a_format_ends_at_its_longest_side(format_: Written, limit: int, turn: int) -> None:
    assert MAX_SIDE_PX[format_] == limit
    extra = (ExtraOutput(format=format_, quality=90, lossless=False),)
    for side, code in ((limit, None), (limit + 1, "format_limit_exceeded")):
        width, height = (side, 9)[::turn]
        assert refusal(width, height, format_, scale=1) == code
        assert refusal(width, height, "png", scale=1) is None
        assert refusal(width, height, "tiff", scale=1, outputs=extra) == code


def test_an_avif_ends_at_fewer_pixels_than_other_formats() -> None:
    assert refusal(1 << 14, 1 << 14, "avif", scale=1) is None
    assert refusal((1 << 14) + 1, 1 << 14, "avif", scale=1) == "format_limit_exceeded"
    assert refusal((1 << 14) + 1, 1 << 14, "png", scale=1) is None


def test_further_outputs_have_their_own_widths_and_the_main_outputs_shape() -> None:
    outputs = tuple(ExtraOutput(format="webp", quality=90, lossless=False, width=width) for width in (None, 600, 7, 1))
    assert output_sizes(300, 200, asking(scale=4, outputs=outputs)) == (
        *((1200, 800), (1200, 800), (600, 400)),
        *((7, 5), (1, 1)),
    )


@given(sides, sides, st.integers(1, 3000))
def test_a_further_output_is_never_larger_than_the_main_one(width: int, height: int, wanted: int) -> None:
    if wanted > width:
        with pytest.raises(PipelineError, match="outputs"):
            extra_size((width, height), wanted)
        return
    size_ = extra_size((width, height), wanted)
    assert size_[0] == wanted <= width
    assert size_[1] <= height
    assert keeps_its_shape((width, height), size_)


def test_a_further_output_of_the_wrong_format_is_no_way_around_the_limit_but_a_smaller_one_is() -> None:
    small = ExtraOutput(format="webp", quality=90, lossless=False, width=16_383)
    assert refusal(20_000, 10, "png", scale=1, outputs=(small,)) is None
    assert refusal(20_000, 10, "png", scale=1, outputs=(small.model_copy(update={"width": 16_384}),)) == (
        "format_limit_exceeded"
    )
