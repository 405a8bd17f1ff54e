"""Ports: set ones are taken as they are, remembered ones where free, and no two servers share one."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.errors import SetupError
from infra.ports import LISTENERS, choose, choose_and_remember, free_port, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_ports_are_distinct_and_free() -> None:
    chosen = choose({}, {})
    assert set(chosen) == set(LISTENERS)
    assert len(set(chosen.values())) == len(LISTENERS)
    assert all(map(is_free, chosen.values()))


def test_a_second_start_keeps_the_ports_of_the_first(tmp_path: Path) -> None:
    first = choose_and_remember(tmp_path / "ports.json", {})
    assert choose_and_remember(tmp_path / "ports.json", {}) == first


def test_a_remembered_port_that_somebody_took_is_replaced(taken: int) -> None:
    kept = free_port()
    chosen = choose({}, {"api": taken, "minio": kept})
    assert chosen["api"] != taken
    assert chosen["minio"] == kept


def test_a_set_port_wins_over_a_remembered_one_and_over_its_remembered_user() -> None:
    port = free_port()
    chosen = choose({"api": port}, {"api": free_port(), "nats": port})
    assert chosen["api"] == port
    assert chosen["nats"] != port


def test_a_set_port_that_is_taken_is_refused_with_its_setting(taken: int) -> None:
    with pytest.raises(SetupError, match=f"port {taken} for minio is taken; unset ENLARGER_MINIO_PORT"):
        choose({"minio": taken}, {})
