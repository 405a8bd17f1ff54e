"""Settings of the api process."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr

from api.limits import LimitName
from api.live.places import Places
from pipeline.settings import Allowing, Networks


def _also(name: str, ours: str | None = None) -> AliasChoices:
    """A setting of ours that a service which is replaced here calls *name*."""
    return AliasChoices(f"ENLARGER_{ours or name}", name)


class Settings(Allowing):
    """Where to listen, and the addresses that clients use for us and for the object store.

    `public_url` and `minio_public_url` default to the addresses that this process itself uses. `password_tenants` is
    that of the object store's account `tenants`, which S3 credentials of homes are made under; `password_sessions`
    signs access tokens; `password_webhooks` seals webhook secrets. `registration` says whether anybody may make an
    account: unset, whoever reaches a loopback address may in the dialects that have accounts, and nobody else. The two
    `…_expire_…` are what one of them calls the lives of its tokens; the names in seconds win. `egress_allow` are
    private networks that pictures may be fetched from. `rate_upscale`, `rate_status`, `rate_login` and `rate_default`
    are calls in a minute; `streams_per_owner` and `streams` are the most that are open at a time in this process.
    """

    api_host: str = "127.0.0.1"
    api_port: int = Field(8000, ge=0, le=65535)
    password_tenants: SecretStr
    public_url: str | None = None
    minio_public_url: str | None = None
    egress_allow: Networks = ()
    password_sessions: SecretStr = Field(min_length=32)
    password_webhooks: SecretStr = Field(min_length=32)
    access_token_seconds: int = Field(1800, ge=60, le=86_400)
    refresh_token_seconds: int = Field(604_800, ge=60, le=30 * 86_400)
    access_token_expire_minutes: int | None = Field(
        None, ge=1, le=1440, validation_alias=_also("ACCESS_TOKEN_EXPIRE_MINUTES")
    )
    refresh_token_expire_days: int | None = Field(
        None, ge=1, le=30, validation_alias=_also("REFRESH_TOKEN_EXPIRE_DAYS")
    )
    registration: Literal["on", "off"] | None = None
    dialects: str | None = None
    tokens: SecretStr = Field(SecretStr(""), validation_alias=_also("VALID_TOKENS", "TOKENS"))
    anonymous: Literal["on", "off"] = "off"
    cors_origins: str = ""
    download_seconds: int = Field(3600, ge=1)
    base64_input_px: int = Field(0, ge=0, le=65_535)
    nats_monitor_url: str | None = None
    max_upload_bytes: int = Field(100 * 1024 * 1024, ge=1)
    max_pixels: int = Field(50_000_000, ge=1)
    rate_upscale: int = Field(20, ge=1)
    rate_status: int = Field(60, ge=1)
    rate_login: int = Field(5, ge=1)
    rate_default: int = Field(30, ge=1)
    streams_per_owner: int = Field(10, ge=1)
    streams: int = Field(3000, ge=1)

    @property
    def places(self) -> Places:
        """Room for streams in this process, without a bound where there are no limits."""
        return Places() if self.rate_limits == "off" else Places(self.streams_per_owner, self.streams)

    @property
    def access_life(self) -> timedelta:
        """For how long an access token is good."""
        minutes = self.access_token_expire_minutes
        if minutes is None or "access_token_seconds" in self.model_fields_set:
            return timedelta(seconds=self.access_token_seconds)
        return timedelta(minutes=minutes)

    @property
    def refresh_life(self) -> timedelta:
        """For how long a refresh token is good."""
        days = self.refresh_token_expire_days
        if days is None or "refresh_token_seconds" in self.model_fields_set:
            return timedelta(seconds=self.refresh_token_seconds)
        return timedelta(days=days)

    @property
    def quotas(self) -> Mapping[LimitName, int]:
        """Calls in a minute, by kind; none where there are no limits."""
        if self.rate_limits == "off":
            return {}
        return {
            "upscale": self.rate_upscale,
            "status": self.rate_status,
            "login": self.rate_login,
            "default": self.rate_default,
        }
