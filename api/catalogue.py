"""What jobs can ask for: each model and each preset, with the JSON Schema of the options that go with it."""

from functools import cache
from typing import Any, Final

from api.answers import Model
from pipeline.errors import PipelineError
from pipeline.layers import PRESETS
from pipeline.options import TAKES, Options
from pipeline.wire import Wire

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class ModelDetail(Model):
    """One model; *options_schema* is the JSON Schema of the options of a job that names it."""

    options_schema: dict[str, Any]


class PresetOut(Wire):
    """One preset; *options* are its values, each of which yields to one that is asked for."""

    name: str
    options: dict[str, Any]


class PresetList(Wire):
    """Every preset by name; *options_schema* is the JSON Schema of all options."""

    items: tuple[PresetOut, ...]
    options_schema: dict[str, Any]


@cache
def options_schema() -> dict[str, Any]:
    """The JSON Schema of `Options`, the one model that all ways of asking are checked with."""
    schema = Options.model_json_schema()
    described = {name: {**field, "description": TAKES[name]} for name, field in schema["properties"].items()}
    return {"$schema": DIALECT, **schema, "properties": described}


def detail(models: tuple[Model, ...], name: str) -> ModelDetail:
    """The model of that *name*; raises `model_not_found`."""
    model = next((model for model in models if model.name == name), None)
    if model is None:
        raise PipelineError("There is no such model.", code="model_not_found", hint="GET /v1/models lists them.")
    return ModelDetail(**model.model_dump(), options_schema=_schema_for(model.name))


def presets() -> PresetList:
    """Every preset."""
    items = [PresetOut(name=name, options=said.model_dump(exclude_none=True)) for name, said in PRESETS.items()]
    return PresetList(items=tuple(items), options_schema=options_schema())


def _schema_for(name: str) -> dict[str, Any]:
    """All options, with the one model that they can name."""
    schema = options_schema()
    return {**schema, "properties": {**schema["properties"], "model": {"const": name}}}
