"""What registered endpoints get, what switches them off, and what waits for them meanwhile."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from notifier.addresses import Addresses, Withheld
from pipeline.adapters.memory import MemoryAccounts
from pipeline.adapters.memory_deliveries import MemoryDeliveries
from pipeline.adapters.memory_endpoints import MemoryEndpoints
from pipeline.endpoints import FAILING_SECONDS, Endpoint, EndpointStatus, Secret, host_of, resume, rotate
from pipeline.ports.deliveries import Attempt, Delivery, DeliveryStatus, Trigger, delivery_id
from tests.receiver import receiving
from tests.unit.notifier_desk import BODY, SECRET, Office, Time, running, sender_of

pytestmark = pytest.mark.anyio

OWN = "whsec_" + "B" * 32


def endpoint(time: Time, url: str, *, status: EndpointStatus = "active") -> Endpoint:
    return Endpoint("whe_1", "default", url, ("job.succeeded",), (Secret(OWN, time.now),), time.now, status=status)


def due(time: Time, url: str, event: str = "evt_1", trigger: Trigger = "scheduled") -> Delivery:
    id_ = delivery_id(event, "whe_1", time.now)
    host = host_of(url)
    return Delivery(id_, event, "job_1", "default", "whe_1", BODY, time.now, host=host, trigger=trigger)


async def registered(office: Office, url: str, *, status: EndpointStatus = "active") -> Delivery:
    """An endpoint at *url* with one delivery due."""
    await office.endpoints.insert(endpoint(office.time, url, status=status))
    delivery = due(office.time, url)
    await office.deliveries.create(delivery)
    return delivery


class Watched(MemoryDeliveries):
    """Tells when a delivery was withheld."""

    def __init__(self) -> None:
        super().__init__()
        self.withheld = asyncio.Event()

    async def withhold(self, delivery: Delivery, status: DeliveryStatus, *, until: datetime | None = None) -> bool:
        kept = await MemoryDeliveries.withhold(self, delivery, status, until=until)
        self.withheld.set()
        return kept


def watched() -> Office:
    return Office(deliveries=Watched())


async def nothing_is_sent(office: Office) -> None:
    """Run the sender until it has withheld what is due."""
    assert isinstance(office.deliveries, Watched)

    async def post(delivery: Delivery) -> Withheld:
        outcome = await office.addresses.of(delivery)
        assert isinstance(outcome, Withheld)
        return outcome

    async with running(sender_of(office.deliveries, post, office.time, office.endpoints)):
        await asyncio.wait_for(office.deliveries.withheld.wait(), 10)


async def test_message_is_signed_with_the_secret_of_the_endpoint_and_not_the_owners() -> None:
    office = Office()
    with receiving() as receiver:
        await registered(office, receiver.url)
        (got,) = await office.deliver(receiver)
    Webhook(OWN).verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(got.body, got.headers)
    assert office.only().attempts[0].url == receiver.url


async def test_while_secrets_change_over_the_receiver_may_know_either() -> None:
    office, new = Office(), "whsec_" + "C" * 32
    with receiving() as receiver:
        await registered(office, receiver.url)
        stored = office.endpoints.stored
        stored["whe_1"] = rotate(stored["whe_1"], new, office.time.now, keep_seconds=60)
        (both,) = await office.deliver(receiver)
        office.time.pass_(60)
        await office.deliveries.create(due(office.time, receiver.url, "evt_2"))
        (one,) = await office.deliver(receiver)
    for secret in (OWN, new):
        Webhook(secret).verify(both.body, both.headers)
    Webhook(new).verify(one.body, one.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OWN).verify(one.body, one.headers)


async def test_gone_switches_the_endpoint_off_and_what_comes_later_is_not_sent() -> None:
    office = watched()
    with receiving([(410, {})]) as receiver:
        await registered(office, receiver.url)
        await office.deliver(receiver)
        stored = office.endpoints.stored["whe_1"]
        assert (stored.status, stored.status_reason) == ("disabled", "gone")
        later = due(office.time, receiver.url, "evt_2")
        await office.deliveries.create(later)
        await nothing_is_sent(office)
        assert receiver.count == 1
    made = office.deliveries.stored[later.id]
    assert (made.status, made.attempts, made.next_attempt_at) == ("failed", (), None)


async def test_five_days_of_failures_switch_the_endpoint_off_and_one_success_would_not() -> None:
    office = Office()
    with receiving([(500, {}), (204, {}), (500, {}), (302, {})]) as receiver:
        await registered(office, receiver.url)
        await office.deliver(receiver)
        first = office.endpoints.stored["whe_1"]
        assert first.failing_since == office.time.now
        office.time.pass_(FAILING_SECONDS - 100)
        await office.deliver(receiver)
        second = office.endpoints.stored["whe_1"]
        assert second.failing_since is None
        office.time.pass_(100)
        await office.deliveries.create(due(office.time, receiver.url, "evt_2"))
        await office.deliver(receiver)
        since = office.time.now
        office.time.pass_(FAILING_SECONDS)
        await office.deliver(receiver)
    stored = office.endpoints.stored["whe_1"]
    assert (stored.status, stored.status_reason, stored.failing_since) == ("disabled", "failing", since)


async def test_receiver_that_is_no_longer_meant_switches_nothing_off() -> None:
    office = Office()
    await office.endpoints.insert(endpoint(office.time, "https://new.example/"))
    delivery = due(office.time, "https://old.example/")
    await office.addresses.judge(delivery, Attempt(office.time.now, 0.1, 410, url="https://old.example/"))
    assert office.endpoints.stored["whe_1"].status == "active"


async def test_judgement_waits_its_turn_behind_a_change_by_the_owner() -> None:
    office = Office()
    await office.endpoints.insert(endpoint(office.time, "https://a.example/"))

    class Busy(MemoryEndpoints):
        async def save(self, endpoint: Endpoint) -> bool:
            if office.endpoints.stored["whe_1"].rev == 1:
                office.endpoints.stored["whe_1"] = replace(office.endpoints.stored["whe_1"], description="new", rev=2)
            return await MemoryEndpoints.save(self, endpoint)

    busy = Busy()
    busy.stored = office.endpoints.stored
    addresses = Addresses(MemoryAccounts(), busy, clock=office.time)
    gone = Attempt(office.time.now, 0.1, 410, url="https://a.example/")
    await addresses.judge(due(office.time, "https://a.example/"), gone)
    stored = office.endpoints.stored["whe_1"]
    assert (stored.status, stored.description) == ("disabled", "new")


async def test_what_is_paused_is_held_and_sent_once_it_is_resumed() -> None:
    office = watched()
    with receiving() as receiver:
        delivery = await registered(office, receiver.url, status="paused")
        await nothing_is_sent(office)
        held = office.deliveries.stored[delivery.id]
        assert (held.status, held.attempts, receiver.count) == ("held", (), 0)
        office.endpoints.stored["whe_1"] = resume(office.endpoints.stored["whe_1"])
        await office.deliveries.release("whe_1", office.time.now)
        await office.deliver(receiver)
    assert office.only().status == "delivered"


class ResumedMeanwhile(MemoryDeliveries):
    """The owner resumes the endpoint between the sender's look at it and its holding the delivery."""

    def __init__(self, endpoints: MemoryEndpoints, time: Time) -> None:
        super().__init__()
        self.endpoints, self.time = endpoints, time

    async def withhold(self, delivery: Delivery, status: DeliveryStatus, *, until: datetime | None = None) -> bool:
        self.endpoints.stored["whe_1"] = resume(self.endpoints.stored["whe_1"])
        await self.release("whe_1", self.time.now)
        return await MemoryDeliveries.withhold(self, delivery, status, until=until)


async def test_delivery_held_just_after_the_resume_is_sent_all_the_same() -> None:
    office = Office()
    office.deliveries = ResumedMeanwhile(office.endpoints, office.time)
    with receiving() as receiver:
        await registered(office, receiver.url, status="paused")
        await office.deliver(receiver)
    assert office.only().status == "delivered"


async def test_delivery_of_a_deleted_endpoint_ends_without_an_attempt() -> None:
    office = watched()
    await office.deliveries.create(due(office.time, "https://a.example/"))
    await nothing_is_sent(office)
    assert (office.only().status, office.only().attempts) == ("failed", ())


@pytest.mark.parametrize("status", ["active", "paused", "disabled"])
@pytest.mark.parametrize("answer", [204, 410, 500])
async def test_ping_is_sent_once_whatever_the_endpoint_is_and_changes_nothing_about_it(
    status: EndpointStatus, answer: int
) -> None:
    office = Office()
    with receiving([(answer, {})]) as receiver:
        await office.endpoints.insert(endpoint(office.time, receiver.url, status=status))
        before = office.endpoints.stored["whe_1"]
        await office.deliveries.create(due(office.time, receiver.url, trigger="ping"))
        await office.deliver(receiver)
    made = office.only()
    assert (made.status, made.next_attempt_at) == ("delivered" if answer == 204 else "failed", None)
    assert [(attempt.status_code, attempt.trigger) for attempt in made.attempts] == [(answer, "ping")]
    assert office.endpoints.stored["whe_1"] == before


async def test_replayed_delivery_has_the_same_id_and_bytes_and_the_whole_schedule_again() -> None:
    office = Office()
    with receiving([(500, {})] * 11) as receiver:
        delivery = await registered(office, receiver.url)
        for _ in range(10):
            (first,) = await office.deliver(receiver)
            office.endpoints.stored["whe_1"] = resume(office.endpoints.stored["whe_1"])
            office.time.pass_(86_400)
        assert office.only().status == "failed"
        await office.deliveries.replay("whe_1", delivery.id, office.time.now)
        (again,) = await office.deliver(receiver)
    assert (again.headers["webhook-id"], again.body) == (first.headers["webhook-id"], first.body)
    made = office.only()
    assert (made.status, made.next_attempt_at) == ("pending", office.time.now + timedelta(seconds=5))
    assert [attempt.trigger for attempt in made.attempts] == ["scheduled"] * 10 + ["manual"]
