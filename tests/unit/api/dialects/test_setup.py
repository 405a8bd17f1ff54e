"""What the settings of dialects mean, and the figures that they tell."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.dialects.bus_figures import BusFigures, BusGauge
from api.dialects.machine import Gauge
from api.dialects.setup import NAMES, owners, spoken
from api.settings import Settings
from pipeline.identity import fingerprint


@pytest.mark.parametrize(
    ("setting", "host", "names"),
    [
        (None, "127.0.0.1", NAMES),
        (None, "::1", NAMES),
        (None, "localhost", NAMES),
        (None, "0.0.0.0", ()),  # noqa: S104 - what is tested
        ("", "127.0.0.1", ()),
        ("status, base64", "0.0.0.0", ("base64", "status")),  # noqa: S104
        ("all", "10.0.0.1", NAMES),
    ],
)
def test_dialects_are_on_by_setting(setting: str | None, host: str, names: tuple[str, ...]) -> None:
    assert spoken(setting, host=host) == names


def test_a_dialect_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="klingon is no dialect"):
        spoken("base64,klingon", host="127.0.0.1")


def test_tokens_are_owners_and_only_their_hashes_are_kept() -> None:
    digest = fingerprint("token1")
    assert owners("token1,, ") == {digest: f"token-{digest[:8]}"}


@pytest.mark.parametrize("name", ["VALID_TOKENS", "ENLARGER_TOKENS"])
def test_tokens_stand_under_two_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    passwords = (f"PASSWORD_{name}" for name in ("TENANTS", "SESSIONS", "WEBHOOKS"))
    for setting in ("NATS_URL", "MONGO_URL", "MINIO_URL", *passwords):
        monkeypatch.setenv(f"ENLARGER_{setting}", "x" * 32)
    monkeypatch.setenv(name, "token1,token2")
    monkeypatch.setenv("ENLARGER_ANONYMOUS", "on")
    settings = Settings()
    assert settings.tokens.get_secret_value() == "token1,token2"
    assert "token1" not in repr(settings)
    assert settings.anonymous == "on"


def stat(busy: int, idle: int) -> str:
    return f"cpu {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 1 1 1"


def test_the_share_of_the_processors_is_that_since_the_last_look(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 4000 kB\nMemFree: 1 kB\nMemAvailable: 1000 kB\n")
    gauge = Gauge(tmp_path, tmp_path)
    shares = []
    for busy, idle in ((50, 50), (140, 60), (140, 60)):
        (tmp_path / "stat").write_text(stat(busy, idle))
        shares.append(gauge.read().cpu_percent)
    assert shares == [50.0, 90.0, 90.0]
    assert (gauge.read().memory_percent, gauge.read().memory_available_bytes) == (75.0, 1000 * 1024)


def varz(**changes: Any) -> dict[str, Any]:
    told = {"mem": 100, "connections": 2, "total_connections": 45, "in_msgs": 10, "out_msgs": 20, "cores": 2}
    return told | {"now": "2026-11-01T12:00:00.123456789Z"} | changes


@pytest.mark.anyio
async def test_the_bus_tells_its_figures_and_its_pace_between_two_looks() -> None:
    answers = [varz(), varz(now="2026-11-01T12:00:10.123456789Z", in_msgs=40, out_msgs=70)]

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url == "http://nats.test:8222/varz"
        return httpx2.Response(200, content=json.dumps(answers.pop(0)))

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        gauge = BusGauge("http://nats.test:8222/", http)
        assert await gauge.read() == BusFigures(100, 2, 45, 0.0)
        assert await gauge.read() == BusFigures(100, 2, 45, 8.0)


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [httpx2.Response(500), httpx2.Response(200, content=b"{}")])
async def test_a_bus_that_tells_nothing_has_no_figures(answer: httpx2.Response) -> None:
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: answer)) as http:
        assert await BusGauge("http://nats.test:8222", http).read() is None
