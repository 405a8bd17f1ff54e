"""What the docs promise to cover: every setting with its default, every model, every event."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from api.settings import Settings as ApiSettings
from ingest.settings import Settings as IngestSettings
from notifier.settings import Settings as NotifierSettings
from pipeline.events import TERMINAL_EVENTS
from pipeline.formats import MAX_PIXELS, MAX_SIDE_PX
from pipeline.layers import DEFAULTS, PRESETS, QUALITIES
from pipeline.lease import LEASE_SECONDS, Lease
from pipeline.option_values import DENOISE_NAMES, FORMAT_NAMES
from pipeline.options import Options
from pipeline.segments import from_segment
from pipeline.sizes import MAX_OUTPUT_PIXELS
from processors.models.registry import models
from processors.settings import Machine
from processors.settings import Settings as ProcessorSettings

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("settings", [ApiSettings, IngestSettings, NotifierSettings, ProcessorSettings, Machine])
def test_every_setting_stands_on_the_settings_page(settings: type[BaseSettings]) -> None:
    page = (DOCS / "settings.md").read_text()
    for name, field in settings.model_fields.items():
        assert f"`ENLARGER_{name.upper()}`" in page, name
        if isinstance(field.default, int):
            assert f"`{field.default}`" in page, f"the default of {name}"


def options_rows() -> dict[str, list[str]]:
    """Segment, values and default of each option, as the page has them."""
    page = (DOCS / "options.md").read_text().partition("\n## ")[0]
    rows = (re.split(r" *\| *", line.strip("| ")) for line in page.splitlines() if line.startswith("| `"))
    return {cells[0].strip("`"): cells[1:] for cells in rows}


def test_every_option_stands_on_the_options_page() -> None:
    assert options_rows().keys() == Options.model_fields.keys()


def test_every_segment_word_on_the_options_page_says_its_option() -> None:
    for name, (words, *_) in options_rows().items():
        for word in re.findall("`(.+?)`", words):
            assert from_segment(f"@{word}").model_dump(exclude_none=True).keys() == {name}, word
    assert set(re.findall("`(.+?)`", options_rows()["format"][0])) == FORMAT_NAMES.keys()


def test_defaults_and_limits_stand_on_the_options_page() -> None:
    page = (DOCS / "options.md").read_text()
    rows = options_rows()
    for name in ("scale", "model", "face", "strength", "precision", "gray", "lossless", "metadata"):
        default = getattr(DEFAULTS, name)
        said = (
            str(default).lower() if isinstance(default, bool) else f"{default:g}" if name == "scale" else str(default)
        )
        assert rows[name][-1].strip("`").startswith(said), name
    lossy = {name: quality for name, quality in QUALITIES.items() if quality < 100}
    assert rows["quality"][-1] == ", ".join(f"`{name}` {quality}" for name, quality in lossy.items())
    assert all(f"`{name}` ({value})" in rows["denoise"][1] for name, value in DENOISE_NAMES.items())
    assert all(f"{pixels:,} pixels" in page for pixels in (MAX_OUTPUT_PIXELS, *MAX_PIXELS.values()))
    for name, side in MAX_SIDE_PX.items():
        assert side == 2**31 - 1 or re.search(rf"`{name}` (?:ends )?at {side}\b", page), name


def test_every_preset_stands_on_the_options_page_with_its_values() -> None:
    page = (DOCS / "options.md").read_text()
    for name, options in PRESETS.items():
        said = options.model_dump(exclude_none=True)
        values = ", ".join(
            f"`{key}` {f'`{value}`' if isinstance(value, str) else value}" for key, value in said.items()
        )
        assert f"| `{name}` | {values} |" in page


def test_every_model_stands_on_the_models_page() -> None:
    page = (DOCS / "models.md").read_text()
    assert [name for name in models() if f"`{name}`" not in page] == []


def test_every_terminal_event_stands_on_the_webhooks_page() -> None:
    page = (DOCS / "webhooks.md").read_text()
    assert [event for event in TERMINAL_EVENTS.values() if f"`{event}`" not in page] == []


def test_every_promise_names_tests_that_are_there() -> None:
    promises = re.findall(r"\n## \d\. .*?(?=\n## )", (DOCS / "promises.md").read_text(), re.DOTALL)
    named = [re.findall(r"`(tests/.+?)`", promise) for promise in promises]
    assert len(named) == 5
    assert all(named)
    assert [path for paths in named for path in paths if not (DOCS.parent / path).exists()] == []


def test_every_share_of_the_lease_stands_on_the_promises_page() -> None:
    page = (DOCS / "promises.md").read_text()
    rows = {float(Fraction(share)): float(seconds) for share, seconds in re.findall(r"\| ([\d/]+) \| (\d+) s \|", page)}
    shares = {name: getattr(Lease(1.0), name) for name in dir(Lease) if name.endswith("_seconds")}
    assert {name for name, share in shares.items() if rows.get(share) != share * LEASE_SECONDS} == set()


def test_every_link_of_the_docs_leads_somewhere() -> None:
    pages = [DOCS.parent / "README.md", *DOCS.glob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())]
    local = [(page, link) for page, link in links if not link.startswith("http")]
    assert local
    assert [(page.name, link) for page, link in local if not (page.parent / link).exists()] == []
