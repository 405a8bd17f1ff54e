"""Dead messages over HTTP: list, read, send again, discard; for admins alone."""

import pytest

from pipeline.consumer import DeadLetter
from pipeline.errors import storage_unavailable
from pipeline.events import Message
from pipeline.topology import dead_subject
from tests.unit.api.conftest import World, problem

SUBJECT = "jobs.upscale.bulk"


def bury(world: World, *bodies: str) -> list[str]:
    """Write letters; their ids."""
    for body in bodies:
        letter = DeadLetter(id=body, subject=SUBJECT, error="no job message", body=body)
        world.call(lambda letter=letter: world.bus.publish(message(letter.id, letter.model_dump_json())))
    return [str(sequence) for sequence in world.bus.dead]


def message(id_: str, body: str) -> Message:
    return Message(id=id_, subject=dead_subject("JOBS"), body=body)


def sent(world: World) -> list[str]:
    return [message.body for message in world.bus.published if message.subject == SUBJECT]


def test_letters_are_listed_page_by_page_with_their_error(world: World) -> None:
    ids = bury(world, "a", "b", "c")
    first = world.admin.get("/v1/admin/dead", params={"limit": 2}).json()
    assert [item["id"] for item in first["items"]] == ids[:2]
    assert {key: first["items"][0][key] for key in ("subject", "error", "body")} == {
        "subject": SUBJECT, "error": "no job message", "body": "a",
    }  # fmt: skip
    second = world.admin.get("/v1/admin/dead", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert ([item["id"] for item in second["items"]], second["next_cursor"]) == (ids[2:], None)


def test_a_letter_is_read_sent_again_once_and_then_unknown(world: World) -> None:
    (id_,) = bury(world, "a")
    assert world.admin.get(f"/v1/admin/dead/{id_}").json()["body"] == "a"
    assert world.admin.post(f"/v1/admin/dead/{id_}/replay").json()["id"] == id_
    assert problem(world.admin.post(f"/v1/admin/dead/{id_}/replay")) == (404, "letter_not_found")
    assert (sent(world), world.bus.dead) == (["a"], {})


def test_a_letter_is_sent_again_once_however_the_first_try_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (id_,) = bury(world, "a")

    async def away(_: int) -> bool:
        raise storage_unavailable("bus")

    with monkeypatch.context() as broken:
        broken.setattr(world.bus, "drop_letter", away)
        assert problem(world.admin.post(f"/v1/admin/dead/{id_}/replay")) == (503, "storage_unavailable")
    assert world.admin.post(f"/v1/admin/dead/{id_}/replay").status_code == 200
    assert (sent(world), world.bus.dead) == (["a"], {})


def test_a_letter_is_discarded_without_being_sent(world: World) -> None:
    first, second = bury(world, "a", "b")
    answer = world.admin.delete(f"/v1/admin/dead/{first}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert problem(world.admin.delete(f"/v1/admin/dead/{first}")) == (404, "letter_not_found")
    assert (sent(world), [str(sequence) for sequence in world.bus.dead]) == ([], [second])


def test_a_letter_that_is_none_of_ours_is_shown_and_discarded_but_not_sent(world: World) -> None:
    world.call(lambda: world.bus.publish(message("x", "\x00 no letter")))
    (item,) = world.admin.get("/v1/admin/dead").json()["items"]
    assert (item["subject"], item["error"], item["body"]) == (None, "not a letter of ours", "\x00 no letter")
    refused = world.admin.post(f"/v1/admin/dead/{item['id']}/replay")
    assert problem(refused) == (409, "letter_unreadable")
    assert world.admin.delete(f"/v1/admin/dead/{item['id']}").status_code == 204


def test_a_letter_that_was_cut_is_shown_as_such_and_not_sent(world: World) -> None:
    letter = DeadLetter(id="a", subject=SUBJECT, error="no job message", body="half", cut=True)
    world.call(lambda: world.bus.publish(message("a", letter.model_dump_json())))
    (item,) = world.admin.get("/v1/admin/dead").json()["items"]
    assert (item["body"], item["cut"]) == ("half", True)
    assert problem(world.admin.post(f"/v1/admin/dead/{item['id']}/replay")) == (409, "letter_unreadable")
    assert sent(world) == []


@pytest.mark.parametrize("id_", ["0", "-1", "99", "x", "1.0", "²", "9" * 19, "00"])
def test_an_id_that_no_letter_has_is_not_found(world: World, id_: str) -> None:
    bury(world, "a")
    for answer in (
        world.admin.get(f"/v1/admin/dead/{id_}"),
        world.admin.post(f"/v1/admin/dead/{id_}/replay"),
        world.admin.delete(f"/v1/admin/dead/{id_}"),
    ):
        assert problem(answer) == (404, "letter_not_found")


@pytest.mark.parametrize("path", ["", "/1", "/1/replay"])
def test_dead_messages_are_for_admins(world: World, path: str) -> None:
    method = "POST" if path.endswith("replay") else "GET"
    bury(world, "a")
    assert problem(world.alice.request(method, f"/v1/admin/dead{path}")) == (403, "token_forbidden")
    assert problem(world.nobody.request(method, f"/v1/admin/dead{path}")) == (401, "token_invalid")
    assert sent(world) == []
