"""OWASP ASVS 5.0, 1.3.6 and 13.2.4: nothing that a user names makes us call what they could not call themselves."""

import re
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import pytest

from pipeline.egress import SPECIAL
from tests.unit.api.conftest import World, pointers, problem
from tests.unit.test_egress import Names, Recorder, opened, refusal

CLONE = Path(__file__).parents[3]
#: What a cloud, a home, a cluster and a kernel keep where only their own should reach it.
INNER = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3"),  # noqa: S104 - refused
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "198.18.0.1"),
    *("169.254.169.254", "169.254.170.2", "192.0.0.8", "192.88.99.1", "192.0.2.1", "203.0.113.9", "240.0.0.1"),
    *("224.0.0.1", "239.255.255.250", "255.255.255.255"),
    *("::1", "::", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1"),
    *("2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "3fff::1", "5f00::1", "100::1"),
    *("fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1"),
]
OUTER = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"]


@pytest.mark.anyio
@pytest.mark.parametrize("address", INNER)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_asvs_1_3_6_a_name_at_an_inner_address_is_never_connected_to(address: str, scheme: str) -> None:
    recorder = Recorder()
    assert await refusal(f"{scheme}://inner.example/", resolver=Names([address]), inner=recorder) == "address_refused"
    assert recorder.connected == []


@pytest.mark.anyio
@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("inner", ["127.0.0.1", "169.254.169.254", "::1", "fd00::1"])
async def test_asvs_1_3_6_one_inner_address_among_outer_ones_refuses_the_name(outer: str, inner: str) -> None:
    orders: list[Sequence[str]] = [[outer, inner], [inner, outer], [outer, outer, inner]]
    for answers in orders:
        recorder = Recorder()
        assert await refusal("http://mixed.example/", resolver=Names(answers), inner=recorder) == "address_refused"
        assert recorder.connected == []


@pytest.mark.anyio
@pytest.mark.parametrize("address", OUTER)
async def test_asvs_1_3_6_an_outer_address_is_called_and_no_other_in_its_place(address: str) -> None:
    recorder = Recorder()
    async with opened(resolver=Names([address], ["127.0.0.1"]), inner=recorder) as egress:
        await egress.post("http://outer.example/", headers={}, body=b"{}")
    assert recorder.connected == [address]


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "gopher://a.example/", "ftp://a.example/", "dict://a.example:11211/", "data:,a"),
        *("http://user:pw@a.example/", "http://a.example:22/", "http://a.example:25/", "http://a.example:6379@b/"),
        *("http://", "//a.example/", "http:///a", "javascript:alert(1)", "http://a.example:0/", "http://[::1"),
    ],
)
def test_asvs_1_3_6_what_is_no_plain_web_address_is_taken_nowhere(world: World, url: str) -> None:
    fetched = world.alice.post("/v1/jobs", json={"url": url})
    assert problem(fetched) == (422, "url_refused") or pointers(fetched) == ["#/url"]
    for scheme in ("file:", "gopher:", "ftp:", "dict:", "data:", "javascript:", "//"):
        if url.startswith(scheme):
            for body, path in (({"url": url}, "/v1/webhooks"), ({"base64": "YQ==", "webhook": url}, "/v1/jobs")):
                assert problem(world.alice.post(path, json=body)) == (422, "webhook_url_refused")
    assert world.jobs.jobs == {}


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[::1]", "2886729729", "0x0a000001", "no.invalid"])
def test_asvs_13_2_4_an_answer_tells_nothing_of_our_network(world: World, host: str) -> None:
    """Refused by its address, unknown, closed: to whoever scans with us all are the same."""
    refused = world.alice.post("/v1/jobs", json={"url": f"http://{host}/a.png"})
    assert problem(refused) == (422, "url_refused")
    assert refused.json()["detail"] == "The host of this address is unknown, or nothing may be fetched from it."
    assert host.strip("[]") not in refused.json()["hint"] + refused.json()["detail"]


@pytest.mark.anyio
async def test_asvs_13_2_4_only_what_the_setting_names_is_open_and_nothing_beside_it() -> None:
    allowed = (ip_network("10.20.0.0/16"),)
    recorder = Recorder()
    async with opened(allowed, resolver=Names(["10.20.1.1"]), inner=recorder) as egress:
        await egress.post("http://ours.example/", headers={}, body=b"{}")
    assert recorder.connected == ["10.20.1.1"]
    for address in ("10.21.0.1", "10.19.255.255", "127.0.0.1", "169.254.169.254"):
        assert await refusal("http://x.example/", allowed, resolver=Names([address])) == "address_refused"


@pytest.mark.anyio
async def test_asvs_13_2_4_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    recorder = Recorder()
    async with opened(resolver=Names(["8.8.8.8"]), inner=recorder) as egress:
        await egress.post("http://a.example/", headers={}, body=b"{}")
    assert recorder.connected == ["8.8.8.8"]


@pytest.mark.parametrize("network", SPECIAL, ids=str)
@pytest.mark.anyio
async def test_asvs_1_3_6_what_python_calls_global_and_is_not_is_refused(network: object) -> None:
    net = ip_network(str(network))
    for address in (net[0], net[-1]):
        assert await refusal("http://x.example/", resolver=Names([str(address)])) == "address_refused"


def test_asvs_13_2_4_everything_that_goes_out_goes_through_the_one_client() -> None:
    """No other module of the services that call for users opens connections of its own."""
    opening = re.compile(r"httpx2\.(get|post|request|stream|Client|AsyncClient)\(|urlopen\(|aiohttp|open_connection\(")
    files = [path for name in ("api", "notifier", "ingest") for path in (CLONE / name).rglob("*.py")]
    found = {str(path.relative_to(CLONE)) for path in files if opening.search(path.read_text())}
    assert found == {"api/__main__.py"}, "which asks the monitor of our own bus, at an address that is a setting"
