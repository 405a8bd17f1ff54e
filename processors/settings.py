"""Settings of the processor process."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.settings import ObjectConnections
from processors.engines import Device


class Machine(BaseSettings):
    """What engines need to know of this machine; enough for `models` and `probe`."""

    model_config = SettingsConfigDict(env_prefix="ENLARGER_", extra="ignore", frozen=True, hide_input_in_errors=True)

    device: Device = "auto"
    models_dir: Path = Path(".enlarger/models")
    cache_dir: Path = Path(".enlarger/cache")


class Settings(ObjectConnections):
    """What one upload may cost, and how long an idle worker keeps the device's memory."""

    max_pixels: int = 50_000_000
    idle_release_seconds: float = 300.0
