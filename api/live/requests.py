"""What clients may ask of live streams."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from pipeline.identity import JOB_ID

#: The most jobs of one stream.
MAX_JOBS: Final = 100
_ID: Final = JOB_ID.pattern
_LIST: Final = f"^{_ID}(,{_ID}){{0,{MAX_JOBS - 1}}}$"


def _parted(given: Any) -> Any:  # noqa: ANN401 - as it comes
    return given.split(",") if isinstance(given, str) else given


def _once(ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ids))


JobIds = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=f"^{_ID}$")], ...],
    BeforeValidator(_parted),
    Field(min_length=1, max_length=MAX_JOBS),
    AfterValidator(_once),
]


class EventsQuery(BaseModel):
    """Which jobs to follow: their ids, separated by commas."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ids: Annotated[JobIds, WithJsonSchema({"type": "string", "pattern": _LIST})]
