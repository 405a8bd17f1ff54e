"""OpenAPI 3.1 from the table of resources: pydantic describes the models, the operations say the rest. Pure."""

import re
from collections import ChainMap
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.answers import Problem
from api.operations import Operation, Resource
from api.problems import MEDIA_TYPE
from pipeline.errors import CODES
from pipeline.scopes import SCOPES

VERSION: Final = "1"
#: OpenAPI 3.1 has no words for WebSockets.
ABOUT: Final = """Image upscaling over object storage.

Streams of `text/event-stream` are server-sent events. A WebSocket on `/v1/live` takes the same token and tells the
same: send `{"watch": ["job_…"]}` with up to 100 ids, and `"after": ID` to go on behind a message; each message is
`{"type": "job.changed", "id": 7, "data": {…}}`, of type `job.changed`, `job.progressed`, `end` or `error`.
"""
Json = dict[str, Any]
Mode = Literal["validation", "serialization"]
Schemas = Mapping[Any, Json]  # by (model, mode)
Names = Mapping[str, Sequence[str]]  # of the parameters in the path of each call


def describe(table: Sequence[Resource]) -> Json:
    """The OpenAPI document of *table*."""
    operations = [operation for line in table for operation in line.operations.values()]
    names = {made.handler.__name__: _names(line) for line in table for made in line.operations.values()}
    schemas, definitions = models_json_schema(_models(operations), ref_template="#/components/schemas/{model}")
    components = definitions["$defs"]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Enlarger", "version": VERSION, "description": ABOUT},
        "paths": {line.path: _path(line, schemas, components, names) for line in table},
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _models(operations: Sequence[Operation]) -> list[tuple[type[BaseModel], Mode]]:
    models: set[tuple[type[BaseModel], Mode]] = {(Problem, "serialization")}
    for operation in operations:
        models |= {(model, "validation") for model in (operation.body, operation.form, operation.query) if model}
        models |= {(model, "serialization") for model in operation.answers.values() if model}
    return sorted(models, key=lambda pair: (pair[0].__name__, pair[1]))


def _names(line: Resource) -> list[str]:
    return re.findall(r"{(\w+)}", line.path)


def _path(line: Resource, schemas: Schemas, components: Json, names: Names) -> Json:
    shared = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in _names(line)]
    operations = line.operations.items()
    tags = {"tags": [line.path.split("/")[2] if line.path.startswith("/v1/") else "service"]}
    described = {
        method.lower(): tags | _operation(method, made, schemas, components, names) for method, made in operations
    }
    return {"parameters": shared, **described} if shared else described


def _operation(method: str, operation: Operation, schemas: Schemas, components: Json, names: Names) -> Json:
    described: Json = {
        "operationId": operation.handler.__name__,
        "summary": operation.summary,
        "security": [] if operation.access == "public" else [{"token": _needed(operation.scope_of(method))}],
        "responses": _answers(operation, schemas, names) | _refusals(operation, schemas),
    }
    bodies = {"application/json": operation.body, "multipart/form-data": operation.form}
    contents = [_content(kind, schemas[model, "validation"]) for kind, model in bodies.items() if model is not None]
    if contents:
        described["requestBody"] = {"required": True, "content": dict(ChainMap(*contents))}
    if operation.form is not None:
        described["requestBody"]["content"]["multipart/form-data"]["encoding"] = _encoding(
            components[operation.form.__name__]
        )
    query = [] if operation.query is None else _parameters(components[operation.query.__name__])
    headers = [{"name": name, "in": "header", "schema": dict(schema)} for name, schema in operation.headers.items()]
    if query or headers:
        described["parameters"] = query + headers
    return described


def _needed(scope: str) -> list[str]:
    """The scope that a token must have, as OpenAPI 3.1 lists what a scheme other than OAuth asks for."""
    return [scope] if scope in SCOPES else []


def _answers(operation: Operation, schemas: Schemas, names: Names) -> Json:
    answers: Json = {}
    for status, model in operation.answers.items():
        answer: Json = {"description": HTTPStatus(status).phrase}
        if model is not None:
            answer["content"] = _content("application/json", schemas[model, "serialization"])
            answer |= _links(operation, names)
        elif operation.media and status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            answer["content"] = {operation.media: {}}  # what such a body holds is said in words
        answers[str(status)] = answer
    return answers


def _links(operation: Operation, names: Names) -> Json:
    """Where the answer leads; every call that it leads to has one parameter in its path."""
    links = {
        name: {"operationId": name, "parameters": {f"path.{names[name][0]}": f"$response.body#{pointer}"}}
        for name, pointer in operation.links.items()
    }
    return {"links": links} if links else {}


def _refusals(operation: Operation, schemas: Schemas) -> Json:
    """One answer per status, which lists the codes that it can carry."""
    problem = schemas[Problem, "serialization"]
    by_status = groupby(sorted(operation.codes, key=CODES.__getitem__), key=CODES.__getitem__)
    answers: Json = {}
    for status, group in by_status:
        codes = sorted(group)
        schema = {"allOf": [problem, {"properties": {"code": {"enum": codes}}}]}
        answers[str(status.value)] = {"description": ", ".join(codes), "content": _content(MEDIA_TYPE, schema)}
    return answers


def _encoding(form: Json) -> Json:
    """Fields of a form that are JSON."""
    objects = [
        name for name, schema in form["properties"].items() if "$ref" in schema or schema.get("type") == "object"
    ]
    return {name: {"contentType": "application/json"} for name in objects}


def _parameters(query: Json) -> list[Json]:
    required = query.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _said(schema)}
        for name, schema in query["properties"].items()
    ]


def _said(schema: Json) -> Json:
    """*schema* without null, which no query string can say."""
    if "anyOf" not in schema:
        return schema
    said = [way for way in schema["anyOf"] if way != {"type": "null"}]
    return said[0] if len(said) == 1 else {"anyOf": said}


def _content(kind: str, schema: Json) -> Json:
    return {kind: {"schema": schema}}
