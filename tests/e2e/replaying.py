"""Clients of the services that are replaced: curl as people have it in scripts, and what answers must look like.

A field is documented with a kind. Each kind here is a function that fails where a value is not of it, and returns what
the value means, for a test to hold against the truth.
"""

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

Kind = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What curl was answered; a redirect is not followed."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self, status: int = 200) -> Any:
        """The JSON of an answer with that status."""
        assert self.status == status, (self.status, self.body)
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    def detail(self, status: int) -> str:
        """The text of a refusal with that status."""
        told = self.json(status)
        assert isinstance(told["detail"], str)
        assert told["detail"]
        return str(told["detail"])

    def file(self) -> bytes:
        """The bytes of a file that came at once, without a redirect, whole."""
        assert self.status == 200, (self.status, self.body[:200])
        assert "location" not in self.headers
        assert int(self.headers.get("content-length", len(self.body))) == len(self.body)
        return self.body


@dataclass(frozen=True, slots=True)
class Curl:
    """The program itself. *base* stands in front of whatever is no URL; *folder* is where its files go."""

    base: str
    folder: Path

    def __call__(self, address: str, *arguments: str) -> Answer:
        """Run curl as *arguments* say, with `-o`."""
        url = address if "://" in address else self.base + address
        body, head = self.folder / "answer", self.folder / "head"
        body.unlink(missing_ok=True)  # an empty answer leaves no file
        command = ["curl", "-sS", "--noproxy", "*", "-o", str(body), "-D", str(head), *arguments, url]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        first, *lines = head.read_text().strip().split("\n\n")[-1].splitlines()  # behind a `100 Continue`
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return Answer(int(first.split()[1]), headers, body.read_bytes() if body.exists() else b"")

    def photo(self, name: str, data: bytes) -> str:
        """The `-F` argument of a form with that file."""
        path = self.folder / name
        path.write_bytes(data)
        return f"file=@{path}"


def bearer(token: str) -> tuple[str, str]:
    """The arguments of a call with a token."""
    return "-H", f"Authorization: Bearer {token}"


# --- kinds ------------------------------------------------------------------------------------------------------------


def text(value: Any) -> str:
    assert isinstance(value, str), value
    assert value
    return value


def uuid(value: Any) -> str:
    assert str(UUID(text(value))) == value
    return str(value)


def zulu(value: Any) -> datetime:
    """Seconds, and `Z`."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text(value)), value
    return datetime.fromisoformat(value)


def unix(value: Any) -> datetime:
    assert isinstance(value, float), value
    return datetime.fromtimestamp(value, UTC)


def url(value: Any) -> str:
    assert re.fullmatch(r"https?://[^/\s]+/\S+", text(value)), value
    return str(value)


def percentage(value: Any) -> float:
    """Text such as `12.5%`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)%", text(value))
    assert match, value
    return share(float(match[1]))


def number(value: Any) -> float:
    assert isinstance(value, int | float), value
    assert not isinstance(value, bool), value
    assert value >= 0, value
    return float(value)


def share(value: Any) -> float:
    assert number(value) <= 100, value
    return float(value)


def whole(value: Any) -> int:
    assert isinstance(value, int), value
    assert not isinstance(value, bool), value
    assert value >= 0, value
    return value


def size(value: Any) -> tuple[int, int]:
    """Width and height."""
    width, height = value
    return whole(width), whole(height)


def one_of(*values: Any) -> Kind:
    def kind(value: Any) -> Any:
        assert any(value == known and type(value) is type(known) for known in values), value
        return value

    return kind


def null(value: Any) -> None:
    assert value is None


def loads(value: Any) -> tuple[float, ...]:
    """Three load averages."""
    assert isinstance(value, list), value
    assert len(value) == 3, value
    return tuple(map(number, value))


def having(**kinds: Kind) -> Kind:
    """An object of these fields."""

    def kind(value: Any) -> dict[str, Any]:
        return fields(value, **kinds)

    return kind


def fields(told: Any, **kinds: Kind) -> dict[str, Any]:
    """What the fields of *told* mean: those that are documented, each of its kind, and no others."""
    assert isinstance(told, dict), told
    assert told.keys() == kinds.keys()
    return {name: kind(told[name]) for name, kind in kinds.items()}
