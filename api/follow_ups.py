"""Where one can go from an answer: by the name of a handler, where in the answer the id stands that its path needs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

Links = Mapping[str, str]


def _all(pointer: str, *names: str) -> Links:
    return MappingProxyType(dict.fromkeys(names, pointer))


_OF_A_JOB: Final = (
    *("read_job", "explain_job", "follow_job", "cancel_job", "retry_job"),
    *("read_result", "read_metrics", "make_link"),
)
JOB: Final = _all("/id", *_OF_A_JOB)
ANNOUNCED: Final = _all("/job/id", *_OF_A_JOB)
BATCH: Final = _all("/id", "read_batch", "read_manifest", "cancel_batch")
WEBHOOK: Final = _all(
    "/id",
    *("read_webhook", "change_webhook", "delete_webhook", "rotate_webhook", "ping_webhook"),
    *("list_deliveries", "replay_deliveries"),
)
TOKEN: Final = _all("/token/id", "revoke_token")
USER: Final = _all("/owner", "change_user", "keep_for_owner")
CREDENTIAL: Final = _all("/access_key", "revoke_credential")
