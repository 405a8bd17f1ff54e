"""What tests of webhooks over HTTP share: endpoints and deliveries in the stores of a `World`."""

from dataclasses import replace
from typing import Any

from pipeline.adapters.memory_deliveries import MemoryDeliveries
from pipeline.adapters.memory_endpoints import MemoryEndpoints
from pipeline.ports.deliveries import Attempt, Delivery, DeliveryStatus, delivery_id
from tests.unit.api.conftest import World, later

URL = "https://a.example/hook"
PATH = "/v1/webhooks"


def endpoints(world: World) -> MemoryEndpoints:
    assert isinstance(world.documents.endpoints, MemoryEndpoints)
    return world.documents.endpoints


def deliveries(world: World) -> MemoryDeliveries:
    assert isinstance(world.documents.deliveries, MemoryDeliveries)
    return world.documents.deliveries


def add(world: World, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = world.alice.post(PATH, json={"url": URL, **fields}).raise_for_status().json()
    return made


def send(world: World, hook: str, number: int = 0, status: DeliveryStatus = "failed", **changes: Any) -> Delivery:
    """Store a delivery of an event that happened *number* seconds after the present."""
    at = later(seconds=number)
    made = Delivery(
        delivery_id(f"evt_{number}", hook, at), f"evt_{number}", "job_1", "alice", hook, b"{}", None, status
    )
    stored = replace(
        made, type="job.failed", created_at=at, attempts=(Attempt(at, 0.5, 503, url=URL),), tried=1, **changes
    )
    deliveries(world).stored[stored.id] = stored
    return stored
