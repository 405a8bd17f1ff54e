"""What each account may do at the object store, and nothing else. Data."""

from typing import Any, Final

from pipeline.adapters.minio_credentials import PARENT, allow, reach
from pipeline.topology import OUTPUTS_BUCKET, UPLOADS_BUCKET

#: Error files lie beside outputs: ingest writes them, a later success removes them.
ERROR_FILES: Final = f"{OUTPUTS_BUCKET}/*.error.json"
#: Objects that prove the notification targets; ingest ignores keys with a dot in front.
CANARIES: Final = f"{UPLOADS_BUCKET}/.enlarger-canary/*"


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


#: By account of `infra.secrets.ACCOUNTS`.
POLICIES: Final[dict[str, dict[str, Any]]] = {
    "ingest": _policy(
        allow("GetObject", f"{UPLOADS_BUCKET}/*"),
        allow("ListBucket", UPLOADS_BUCKET),
        allow("PutObject", ERROR_FILES),
        allow("DeleteObject", f"{UPLOADS_BUCKET}/*"),  # retention alone deletes, and looks whose output it is
        allow("GetObject DeleteObject", f"{OUTPUTS_BUCKET}/*"),
    ),
    "processors": _policy(
        allow("GetObject", f"{UPLOADS_BUCKET}/*"),
        allow("GetObject PutObject", f"{OUTPUTS_BUCKET}/*"),
        allow("DeleteObject", ERROR_FILES),
    ),
    "api": _policy(
        # it signs uploads to any key, of its owner; one that is there becomes a job by a copy; a dialect shows its own
        allow("GetObject PutObject", f"{UPLOADS_BUCKET}/*"),
        allow("DeleteObject", CANARIES),
        allow("GetObject", f"{OUTPUTS_BUCKET}/*"),
    ),
    PARENT: _policy(*reach("~")),  # what it makes for one home can never reach more than this
    "owner": _policy(
        allow("GetBucketLocation ListAllMyBuckets", "*"),
        allow("ListBucket ListBucketMultipartUploads", UPLOADS_BUCKET),
        allow(
            "GetObject PutObject DeleteObject AbortMultipartUpload ListMultipartUploadParts GetObjectTagging",
            f"{UPLOADS_BUCKET}/*",
        ),
        allow("ListBucket", OUTPUTS_BUCKET),
        allow("GetObject DeleteObject GetObjectTagging", f"{OUTPUTS_BUCKET}/*"),
    ),
}
