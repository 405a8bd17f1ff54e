"""What each account may do at the object store, and nothing else. Data."""

from typing import Any, Final

from pipeline.adapters.minio_credentials import PARENT, reach
from pipeline.topology import OUTPUTS_BUCKET, UPLOADS_BUCKET

#: Error files lie beside outputs: ingest writes them, a later success removes them.
ERROR_FILES: Final = f"{OUTPUTS_BUCKET}/*.error.json"
#: Where announced uploads go, as `pipeline.identity.reserved_key` has it.
ANNOUNCED: Final = f"{UPLOADS_BUCKET}/jobs/*"
#: Objects that prove the notification targets; ingest ignores keys with a dot in front.
CANARIES: Final = f"{UPLOADS_BUCKET}/.enlarger-canary/*"


def _allow(actions: str, *resources: str) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": [f"s3:{action}" for action in actions.split()],
        "Resource": [f"arn:aws:s3:::{resource}" for resource in resources],
    }


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


#: By account of `infra.secrets.ACCOUNTS`.
POLICIES: Final[dict[str, dict[str, Any]]] = {
    "ingest": _policy(
        _allow("GetObject", f"{UPLOADS_BUCKET}/*"),
        _allow("ListBucket", UPLOADS_BUCKET),
        _allow("PutObject", ERROR_FILES),
        _allow("DeleteObject", f"{UPLOADS_BUCKET}/*"),  # retention alone deletes, and looks whose output it is
        _allow("GetObject DeleteObject", f"{OUTPUTS_BUCKET}/*"),
    ),
    "processors": _policy(
        _allow("GetObject", f"{UPLOADS_BUCKET}/*"),
        _allow("GetObject PutObject", f"{OUTPUTS_BUCKET}/*"),
        _allow("DeleteObject", ERROR_FILES),
    ),
    "api": _policy(
        _allow("PutObject", ANNOUNCED),
        _allow("PutObject DeleteObject", CANARIES),
        _allow("GetObject", f"{OUTPUTS_BUCKET}/*"),
    ),
    PARENT: _policy(*reach("~")),  # what it makes for one home can never reach more than this
    "owner": _policy(
        _allow("GetBucketLocation ListAllMyBuckets", "*"),
        _allow("ListBucket ListBucketMultipartUploads", UPLOADS_BUCKET),
        _allow(
            "GetObject PutObject DeleteObject AbortMultipartUpload ListMultipartUploadParts GetObjectTagging",
            f"{UPLOADS_BUCKET}/*",
        ),
        _allow("ListBucket", OUTPUTS_BUCKET),
        _allow("GetObject DeleteObject GetObjectTagging", f"{OUTPUTS_BUCKET}/*"),
    ),
}
