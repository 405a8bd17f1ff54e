"""The indexes of every collection."""

from collections.abc import Mapping, Sequence
from typing import Final

from pymongo import ASCENDING, DESCENDING, IndexModel

from pipeline.adapters import mongo_batches, mongo_deliveries, mongo_endpoints, mongo_quotas
from pipeline.topology import DAY_SECONDS

#: What bootstrap creates, by collection.
INDEXES: Final[Mapping[str, Sequence[IndexModel]]] = {
    "jobs": (
        IndexModel([("owner", ASCENDING), ("_id", DESCENDING)], name="owner_newest"),
        IndexModel([("owner", ASCENDING), ("status", ASCENDING), ("_id", DESCENDING)], name="owner_status_newest"),
        IndexModel([("owner", ASCENDING), ("ephemeral", ASCENDING), ("_id", DESCENDING)], name="owner_lasting_newest"),
        IndexModel([("owner", ASCENDING), ("source.key", ASCENDING), ("_id", DESCENDING)], name="owner_key_newest"),
        IndexModel([("outbox.id", ASCENDING)], name="outbox_id", sparse=True),
        IndexModel([("status", ASCENDING), ("expires_at", ASCENDING)], name="status_expiry"),
        IndexModel([("status", ASCENDING), ("queued_at", ASCENDING), ("_id", ASCENDING)], name="status_queued"),
        IndexModel([("lane", ASCENDING), ("started_at", DESCENDING)], name="lane_started"),
        IndexModel([("batch_id", ASCENDING), ("status", ASCENDING)], name="batch_status"),
        IndexModel([("removed_at", ASCENDING), ("source.key", ASCENDING)], name="removed_key"),
        IndexModel(
            [("completed_at", ASCENDING)],
            name="ephemeral_ended",
            partialFilterExpression={"ephemeral": True, "removed_at": None},
        ),
        IndexModel(
            [("lane", ASCENDING), ("status", ASCENDING), ("queued_at", ASCENDING), ("_id", ASCENDING)],
            name="lane_status_queued",
        ),
        IndexModel(
            [("lane", ASCENDING), ("status", ASCENDING), ("completed_at", DESCENDING)], name="lane_status_completed"
        ),
        *mongo_quotas.JOB_INDEXES,
    ),
    "quality": mongo_quotas.QUALITY_INDEXES,
    "deliveries": mongo_deliveries.INDEXES,
    "webhooks": mongo_endpoints.INDEXES,
    "sources": (
        IndexModel(
            [("sequencer", ASCENDING)], name="returned", partialFilterExpression={"retained": True, "deleted": False}
        ),
    ),
    "users": (IndexModel([("email", ASCENDING)], name="email", unique=True, sparse=True),),
    "sessions": (
        IndexModel([("owner", ASCENDING)], name="owner"),
        IndexModel([("expires_at", ASCENDING)], name="forgotten", expireAfterSeconds=0),
    ),
    "refreshes": (IndexModel([("expires_at", ASCENDING)], name="forgotten", expireAfterSeconds=0),),
    "tokens": (IndexModel([("owner", ASCENDING), ("id", ASCENDING)], name="owner_id"),),
    "limits": (IndexModel([("until", ASCENDING)], name="ended", expireAfterSeconds=0),),
    "batches": mongo_batches.INDEXES,
    "claims": (IndexModel([("expires_at", ASCENDING)], name="expired", expireAfterSeconds=0),),
    "workers": (IndexModel([("seen_at", ASCENDING)], name="forgotten", expireAfterSeconds=DAY_SECONDS),),
}
