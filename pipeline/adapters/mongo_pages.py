"""Which jobs a page is made of, as a query of MongoDB."""

from typing import Any, Final

from pipeline.ports.documents import JobFilter

#: Behind every key that begins with a prefix: keys are UTF-8, and this is their last character.
_LAST = "\U0010ffff"
#: What is stored of a job that is not ephemeral; earlier versions stored nothing.
LASTING: Final = {"$in": [False, None]}


def chosen(owner: str, before: str | None, only: JobFilter) -> dict[str, Any]:
    """The owner's jobs with ids below *before* that *only* names; each condition stands for itself in one index."""
    ids = {"$lt": before, "$gte": only.since}
    keys = {"$eq": only.key, "$gte": only.prefix, "$lt": None if only.prefix is None else only.prefix + _LAST}
    said: dict[str, Any] = {
        "_id": _spoken(ids),
        "status": only.status and only.status.value,
        "source.key": _spoken(keys),
        "batch_id": only.batch_id,
        "ephemeral": only.ephemeral if only.ephemeral is not False else LASTING,
    }
    return {"owner": owner, **_spoken(said)}


def _spoken(conditions: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in conditions.items() if value not in (None, {})}
