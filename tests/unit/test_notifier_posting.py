"""What a receiver that really listens gets, and what its answers lead to."""

from datetime import timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from pipeline.adapters.memory import MemoryAccounts
from tests.receiver import receiving
from tests.unit.notifier_desk import BODY, SECRET, Office, due


@pytest.mark.anyio
async def test_receiver_verifies_what_it_gets_with_the_public_library() -> None:
    office = Office()
    with receiving() as receiver:
        await office.deliveries.create(due(office.time, receiver.url))
        (got,) = await office.deliver(receiver)
    assert Webhook(SECRET).verify(got.body, got.headers)["type"] == "job.succeeded"
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(got.body, got.headers)
    assert (got.headers["webhook-id"], got.headers["content-type"], got.body) == ("evt_1", "application/json", BODY)
    made = office.only()
    assert (made.status, made.next_attempt_at, made.lease_until) == ("delivered", None, None)
    assert [(attempt.status_code, attempt.error, attempt.at) for attempt in made.attempts] == [
        (204, None, office.time.now)
    ]


@pytest.mark.anyio
async def test_server_error_is_tried_again_with_the_same_id_and_bytes() -> None:
    office = Office()
    with receiving([(500, {}), (200, {})]) as receiver:
        await office.deliveries.create(due(office.time, receiver.url))
        (first,) = await office.deliver(receiver)
        assert office.only().next_attempt_at == office.time.now + timedelta(seconds=5)
        office.time.pass_(5)
        (second,) = await office.deliver(receiver)
    assert (second.headers["webhook-id"], second.body) == (first.headers["webhook-id"], first.body)
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 5
    Webhook(SECRET).verify(second.body, second.headers)
    made = office.only()
    assert (made.status, [attempt.status_code for attempt in made.attempts]) == ("delivered", [500, 200])


@pytest.mark.anyio
@pytest.mark.parametrize("status", [429, 503])
async def test_receiver_that_names_a_time_is_left_alone_until_then(status: int) -> None:
    office = Office()
    with receiving([(status, {"Retry-After": "90"})]) as receiver:
        await office.deliveries.create(due(office.time, receiver.url))
        await office.deliver(receiver)
    assert office.only().next_attempt_at == office.time.now + timedelta(seconds=90)
    assert office.only().attempts[0].retry_after_seconds == 90


@pytest.mark.anyio
async def test_receiver_that_is_gone_is_never_called_again() -> None:
    office = Office()
    with receiving([(410, {})]) as receiver:
        await office.deliveries.create(due(office.time, receiver.url))
        await office.deliver(receiver)
    assert (office.only().status, office.only().next_attempt_at) == ("failed", None)


@pytest.mark.anyio
async def test_redirect_is_a_failure_and_the_other_place_hears_nothing() -> None:
    office = Office()
    with receiving() as elsewhere, receiving([(302, {"Location": elsewhere.url})]) as receiver:
        await office.deliveries.create(due(office.time, receiver.url))
        await office.deliver(receiver)
    assert (office.only().status, office.only().attempts[0].status_code, elsewhere.count) == ("pending", 302, 0)


@pytest.mark.anyio
async def test_tenth_failure_ends_the_delivery() -> None:
    office = Office()
    with receiving([(500, {})] * 11) as receiver:
        await office.deliveries.create(due(office.time, receiver.url))
        for _ in range(10):
            await office.deliver(receiver)
            office.time.pass_(86_400)
        assert receiver.count == 10
    assert (office.only().status, len(office.only().attempts)) == ("failed", 10)


@pytest.mark.anyio
async def test_private_receiver_is_refused_unless_its_network_is_allowed() -> None:
    office = Office()
    with receiving() as receiver:
        refused = await office.try_once(receiver.url, allowed=False)
        taken = await office.try_once(receiver.url)
        assert receiver.count == 1
    assert (refused.status_code, refused.error, refused.delivered) == (None, "address_refused", False)
    assert (taken.status_code, taken.error, taken.delivered) == (204, None, True)


@pytest.mark.anyio
@pytest.mark.parametrize("secrets", [{}, {"default": "whsec_"}, {"default": "whsec_x"}])
async def test_owner_without_a_usable_secret_gets_nothing_unsigned(secrets: dict[str, str]) -> None:
    office = Office(accounts=MemoryAccounts(secrets=secrets))
    with receiving() as receiver:
        attempt = await office.try_once(receiver.url)
        assert receiver.count == 0
    assert attempt.error == "secret_unusable"
