"""What a service says when its settings are wrong: which one, and never a password."""

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from api.settings import Settings as ApiSettings
from ingest.settings import Settings as IngestSettings
from notifier.settings import Settings as NotifierSettings
from processors.settings import Machine
from processors.settings import Settings as ProcessorSettings

OBJECT_USERS = (ApiSettings, IngestSettings, ProcessorSettings)


@pytest.mark.parametrize("settings", [*OBJECT_USERS, NotifierSettings])
def test_a_missing_url_is_named_without_the_passwords_of_the_others(
    settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENLARGER_MINIO_URL", "http://me:secret@store:9000")
    monkeypatch.setenv("ENLARGER_NATS_URL", "nats://me:secret@bus:4222")
    monkeypatch.delenv("ENLARGER_MONGO_URL", raising=False)
    with pytest.raises(ValidationError, match="mongo_url") as caught:
        settings()
    assert "secret" not in str(caught.value)


def test_a_wrong_value_is_named_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENLARGER_DEVICE", "secret")
    with pytest.raises(ValidationError, match="device") as caught:
        Machine()
    assert "secret" not in str(caught.value)


def test_who_has_no_account_at_the_object_store_does_not_ask_for_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENLARGER_MINIO_URL", raising=False)
    for name, url in (("NATS_URL", "nats://a"), ("MONGO_URL", "mongodb://a"), ("PUBLIC_URL", "http://a")):
        monkeypatch.setenv(f"ENLARGER_{name}", url)
    monkeypatch.setenv("ENLARGER_PASSWORD_WEBHOOKS", "x" * 32)
    assert "minio_url" not in NotifierSettings().model_dump()
    for settings in OBJECT_USERS:
        with pytest.raises(ValidationError, match="minio_url"):
            settings()
