"""Moments as clients write them: RFC 3339, with a zone."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _spelled(moment: object) -> object:
    """Numbers, and texts of digits alone, are no times here: nobody could say in which unit."""
    if not (isinstance(moment, str) and RFC_3339.fullmatch(moment)):
        raise ValueError("should be a time with its zone, such as 2026-11-01T12:00:00Z")
    return moment


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # a few hours beyond the years that there are
        return moment.replace(tzinfo=UTC)


Moment = Annotated[AwareDatetime, BeforeValidator(_spelled), AfterValidator(_utc)]
