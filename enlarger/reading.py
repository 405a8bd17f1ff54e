"""Answers of the service as models."""

from typing import TypeVar

import httpx2
from pydantic import ValidationError

from enlarger.errors import EnlargerError
from enlarger.models import Answer

_Answer = TypeVar("_Answer", bound=Answer)


def read(kind: type[_Answer], response: httpx2.Response) -> _Answer:
    """The answer as a model; raises `EnlargerError` (`answer_invalid`)."""
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise not_ours(response) from error


def not_ours(response: httpx2.Response) -> EnlargerError:
    """What to raise where something else than Enlarger answered."""
    return EnlargerError(
        f"{response.request.method} {response.url} got an answer ({response.status_code}) that no Enlarger gives",
        code="answer_invalid",
        hint="Check that ENLARGER_URL names an Enlarger service of this version or a newer one.",
        status=response.status_code,
    )
