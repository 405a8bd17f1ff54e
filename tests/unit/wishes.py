"""Options as a user may write them, for properties of the grammar and of the layers."""

from typing import Any

from hypothesis import strategies as st

from pipeline.formats import Written
from pipeline.options import EXTENSIONS, Extra, Options

FORMATS: list[Written] = list(EXTENSIONS)
lengths = st.integers(1, 2**31 - 1)
percents = st.integers(0, 100)
scales = st.integers(1000, 16000).map(lambda thousandths: thousandths / 1000)
boxes = st.tuples(st.integers(1, 10**9 - 1), st.integers(1, 10**9 - 1)).map(lambda box: f"{box[0]}x{box[1]}")
bounds = st.tuples(lengths, lengths).map(sorted).map(lambda pair: {"min": pair[0], "max": pair[1]})
extras = st.lists(
    st.builds(
        Extra,
        format=st.none() | st.sampled_from(FORMATS),
        quality=st.none() | st.integers(1, 100),
        lossless=st.none() | st.just(False),
        width=st.none() | lengths,
    ),
    max_size=8,
).map(tuple)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


#: Every way to say a size that holds together.
sizings: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.builds(dict, scale=scales),
    st.builds(lambda scale, both: {"scale": scale, **both}, scales, bounds),
    bounds,
    _some(min=lengths),
    _some(max=lengths),
    _some(width=lengths, height=lengths),
    st.builds(dict, fit=boxes),
)
#: What a folder can spell beside the size.
spelled = _some(
    model=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True),
    denoise=percents,
    face=percents,
    format=st.sampled_from(FORMATS),
    quality=st.integers(1, 100),
    lossless=st.just(True),
    metadata=st.just("strip"),
    gray=st.just(True),
    preset=st.sampled_from(["standard", "photo", "art"]),
)
#: What only JSON and object metadata can say.
unspelled = _some(
    strength=percents,
    lossless=st.just(False),
    metadata=st.sampled_from(["keep", "keep-gps", "copyright"]),
    gray=st.just(False),
    preset=st.just("face"),
    precision=st.sampled_from(["auto", "fast"]),
    deadline=st.integers(1, 604_800),
    outputs=extras,
)
folder_wishes = st.builds(lambda size, rest: Options(**size, **rest), sizings, spelled)
wishes = st.builds(lambda size, rest, more: Options(**size, **(rest | more)), sizings, spelled, unspelled)
