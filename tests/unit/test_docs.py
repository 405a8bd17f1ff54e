"""What the docs promise to cover: every setting with its default, every model, every event."""

import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from api.settings import Settings as ApiSettings
from ingest.settings import Settings as IngestSettings
from notifier.settings import Settings as NotifierSettings
from pipeline.events import TERMINAL_EVENTS
from pipeline.options import Options
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


def test_every_option_stands_on_the_options_page() -> None:
    page = (DOCS / "options.md").read_text()
    assert [name for name in Options.model_fields if f"| `{name}` |" not in page] == []


def test_every_model_stands_on_the_models_page() -> None:
    page = (DOCS / "models.md").read_text()
    assert [name for name in models() if f"`{name}`" not in page] == []


def test_every_terminal_event_stands_on_the_webhooks_page() -> None:
    page = (DOCS / "webhooks.md").read_text()
    assert [event for event in TERMINAL_EVENTS.values() if f"`{event}`" not in page] == []


def test_every_link_of_the_docs_leads_somewhere() -> None:
    pages = [DOCS.parent / "README.md", *DOCS.glob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())]
    local = [(page, link) for page, link in links if not link.startswith("http")]
    assert local
    assert [(page.name, link) for page, link in local if not (page.parent / link).exists()] == []
