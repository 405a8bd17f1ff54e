"""The description of the service, and the page for people."""

import json
import re
from pathlib import Path

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
    operations = [item[method] for item in openapi()["paths"].values() for method in set(item) - {"parameters"}]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"]
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
