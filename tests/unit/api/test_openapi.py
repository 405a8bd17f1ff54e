"""The description of the service, and the page for people."""

import json
import re
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from starlette.routing import Route

from api.app import TABLE, create_app, openapi
from pipeline.errors import CODES
from pipeline.options import EXTENSIONS, Options
from tests.unit.api.conftest import World

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()


def test_the_description_is_valid_openapi() -> None:
    validate(openapi())


def test_the_description_is_served(world: World) -> None:
    assert world.nobody.get("/openapi.json").json() == openapi()


def test_every_route_and_method_is_described_and_nothing_else() -> None:
    routes = [route for route in create_app(lambda: None).routes if isinstance(route, Route)]  # type: ignore[arg-type,return-value]
    served = {route.path: {method.lower() for method in route.methods or ()} - {"head"} for route in routes}
    described = {path: set(item) - {"parameters"} for path, item in openapi()["paths"].items()}
    assert described == served


def test_no_address_has_two_routes() -> None:
    assert len({line.path for line in TABLE}) == len(TABLE)


def test_every_call_has_a_name_of_its_own_a_sentence_and_says_who_may_make_it() -> None:
    assert len({operation["operationId"] for operation in operations()}) == len(operations())
    for operation in operations():
        assert operation["summary"]
        assert len(operation["tags"]) == 1
        assert "security" in operation
        assert {"413", "500"} <= operation["responses"].keys()


def test_every_option_is_described_with_its_range() -> None:
    options = openapi()["components"]["schemas"]["Options"]
    assert options["properties"].keys() == Options.model_fields.keys()
    assert options["additionalProperties"] is False
    described = {name: json.dumps(schema) for name, schema in options["properties"].items()}
    assert '"maximum": 16' in described["scale"]
    assert '"low"' in described["denoise"]
    assert '"boolean"' in described["face"]
    assert '"maxItems": 8' in described["outputs"]
    assert all(f'"{name}"' in described["format"] for name in EXTENSIONS)


def test_every_declared_code_is_a_known_one() -> None:
    declared = {code for line in TABLE for made in line.operations.values() for code in made.codes}
    assert declared <= CODES.keys()


def test_every_error_code_stands_on_the_page() -> None:
    section = PAGE.partition("\n## Errors\n")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", section, re.MULTILINE))
    assert rows == {code: str(status.value) for code, status in CODES.items()}


def test_every_call_stands_on_the_page() -> None:
    missing = [
        f"{method} {line.path}"
        for line in TABLE
        for method in line.operations
        if f"{method} {line.path.replace('{job_id}', '{id}')}" not in PAGE
    ]
    assert missing == []


def test_every_answer_with_a_body_says_its_media_type() -> None:
    ok = {made["operationId"]: made["responses"]["200"] for made in operations() if "200" in made["responses"]}
    assert [name for name, said in ok.items() if not said.get("content")] == []
    told = {name: kind for name, said in ok.items() for kind, body in said["content"].items() if not body}
    assert told.items() >= {
        ("read_result", "image/*"),
        ("follow_link", "image/*"),
        ("follow_job", "text/event-stream"),
        ("follow_jobs", "text/event-stream"),
        ("read_figures", "text/plain"),
        ("read_manifest", "application/x-ndjson"),
        ("read_openapi", "application/json"),
    }


def test_fields_of_a_form_that_are_json_say_so() -> None:
    form = openapi()["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["encoding"] == {name: {"contentType": "application/json"} for name in ("options", "metadata")}


def test_no_query_is_said_to_take_null() -> None:
    schemas = [parameter["schema"] for made in operations() for parameter in made.get("parameters", ())]
    assert schemas
    assert '"null"' not in json.dumps(schemas)


def operations() -> list[Any]:
    return [item[method] for item in openapi()["paths"].values() for method in set(item) - {"parameters"}]


def test_every_link_leads_from_an_answer_to_a_call_that_needs_what_it_says() -> None:
    paths = {
        made["operationId"]: re.findall(r"{(\w+)}", path)
        for path, item in openapi()["paths"].items()
        for made in item.values()
        if isinstance(made, dict)
    }
    links = [
        (said, link)
        for made in operations()
        for said in made["responses"].values()
        for link in said.get("links", {}).values()
    ]
    assert len(links) >= 20
    for said, link in links:
        ((where, expression),) = link["parameters"].items()
        assert [where.removeprefix("path.")] == paths[link["operationId"]]
        schema: Any = said["content"]["application/json"]["schema"]
        for part in expression.removeprefix("$response.body#/").split("/"):
            schema = resolved(schema)["properties"][part]
        assert resolved(schema)["type"] == "string"


def resolved(schema: Any) -> Any:
    """What a schema refers to; of a union its first, which is a job."""
    while "$ref" in schema or "anyOf" in schema:
        schema = (
            schema["anyOf"][0]
            if "anyOf" in schema
            else openapi()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        )
    return schema


def test_examples_are_what_they_are_examples_of() -> None:
    schemas = {name: schema for name, schema in openapi()["components"]["schemas"].items() if "examples" in schema}
    assert {"UploadRequest", "RemoteSubmission", "KeysBatch", "TokenRequest"} <= schemas.keys()
    for schema in schemas.values():
        for example in schema["examples"]:
            OAS31Validator(schema | {"components": openapi()["components"]}).validate(example)
