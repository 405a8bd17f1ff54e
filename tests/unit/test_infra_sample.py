"""What a person is told of the first picture, however fast it is."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from minio.error import S3Error

from infra import sample

OWNER = {"ENLARGER_TOKEN": "t", "ENLARGER_URL": "http://a"}


class Store:
    """The owner's object store: takes the sample, and has its output once it was uploaded."""

    def __init__(self) -> None:
        self.uploaded = False

    def stat_object(self, bucket: str, key: str) -> None:
        if not self.uploaded:
            raise S3Error(None, "NoSuchKey", None, key, None, None)  # type: ignore[arg-type]

    def fput_object(self, bucket: str, key: str, *_rest: str) -> Any:
        self.uploaded = True
        return SimpleNamespace(etag="e")

    def fget_object(self, bucket: str, key: str, target: str) -> None:
        Path(target).write_bytes(b"enlarged")


@pytest.mark.anyio
async def test_a_sample_that_is_done_at_once_was_uploaded_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def job(*_arguments: object) -> dict[str, Any]:
        return {"status": "succeeded"}

    store = Store()
    monkeypatch.setattr(sample, "owner_client", lambda _owner: store)
    monkeypatch.setattr(sample, "_job", job)
    said: list[str] = []
    await sample.enlarge(OWNER, tmp_path / "out.jpg", said.append)
    await sample.enlarge(OWNER, tmp_path / "out.jpg", said.append)
    assert said == ["sample: uploaded"]
    assert (tmp_path / "out.jpg").read_bytes() == b"enlarged"
