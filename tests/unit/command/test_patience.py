"""What a command says while it waits for a service that is busy."""

import threading
from dataclasses import replace

import pytest

import enlarger.command
from enlarger import Client
from enlarger.command import app, patience
from enlarger.command.session import Session
from tests.unit.fake_service import API, TOKEN, FakeService, FakeTime, busy


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


def test_a_long_wait_is_told_on_stderr(time: FakeTime, capsys: pytest.CaptureFixture[str]) -> None:
    service = FakeService()
    for seconds in ("31", "2", "3"):
        service.once("GET", "/v1/models", busy(seconds))
    with Client(API, TOKEN, transport=service.transport, clock=patience.telling(time.clock())) as client:
        client.models()
    said = [f"the service is busy or away: trying again in {seconds} s" for seconds in (31, 3)]
    assert (time.slept, capsys.readouterr()) == ([31, 2, 3], ("", "\n".join([*said, ""])))


def test_many_who_wait_at_a_time_are_told_of_once(time: FakeTime, capsys: pytest.CaptureFixture[str]) -> None:
    asleep = threading.Barrier(3)
    clock = patience.telling(time.clock())

    def hold(_: float) -> None:
        asleep.wait(10)

    held = patience.telling(replace(time.clock(), sleep=hold))
    threads = [threading.Thread(target=held.sleep, args=(10.0,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capsys.readouterr().err.count("\n") == 1
    for _ in range(2):
        clock.sleep(10.0)
    assert capsys.readouterr().err.count("\n") == 2


def test_the_command_connects_so(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Session] = []
    monkeypatch.setattr(app, "app", lambda obj, **_: given.append(obj))
    enlarger.command.main()
    assert given[0].connect is patience.connect
