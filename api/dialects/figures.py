"""Health and figures in the words of the dialects: whatever they call `redis` is the bus."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, get_args

from api.dialects.machine import GIB, Machine
from api.services import Services
from pipeline.job import Status
from pipeline.topology import Lane

MIB: Final = 1 << 20
VERSION: Final = "1.0.0"
#: Jobs are counted up to this.
COUNTED: Final = 1_000_000
#: The mean of so many jobs a lane, of the last day.
PASSAGES: Final = 100


async def health(services: Services, *, silent: Sequence[str]) -> dict[str, Any]:
    """The body of `GET /health`, where the servers *silent* do not answer."""
    bus = await services["dialects"].bus_figures()
    machine = await asyncio.to_thread(services["dialects"].machine.read)
    return {
        "status": "unhealthy" if silent else "healthy",
        "timestamp": services["clock"]().timestamp(),
        "version": VERSION,
        "database": "disconnected" if "mongo" in silent else "connected",
        "redis": "disconnected" if "nats" in silent else "connected",
        "redis_info": {
            "used_memory": f"{bus.memory_bytes / MIB:.1f}M" if bus else None,
            "connected_clients": bus.connections if bus else None,
            "total_connections_received": bus.total_connections if bus else None,
        },
        "system": _percentages(machine),
    }


def _percentages(machine: Machine) -> dict[str, Any]:
    return {
        "cpu_usage": f"{machine.cpu_percent:.1f}%",
        "memory_usage": f"{machine.memory_percent:.1f}%",
        "disk_usage": f"{machine.disk_percent:.1f}%",
        "load_average": [round(load, 2) for load in machine.load_average],
    }


async def metrics(services: Services) -> dict[str, Any]:
    """The body of `GET /metrics`."""
    bus = await services["dialects"].bus_figures()
    machine = await asyncio.to_thread(services["dialects"].machine.read)
    return {
        "timestamp": services["clock"]().timestamp(),
        "system": {
            "cpu_usage_percent": machine.cpu_percent,
            "memory_usage_percent": machine.memory_percent,
            "memory_available_gb": round(machine.memory_available_bytes / GIB, 2),
            "disk_usage_percent": machine.disk_percent,
            "disk_free_gb": round(machine.disk_free_bytes / GIB, 2),
        },
        "redis": {
            "connected_clients": bus.connections if bus else None,
            "used_memory_mb": round(bus.memory_bytes / MIB, 2) if bus else None,
            "operations_per_second": bus.messages_per_second if bus else None,
        },
        "jobs": await _jobs(services),
    }


async def _jobs(services: Services) -> dict[str, Any]:
    documents = services["documents"]
    counted = await documents.jobs.tally(limit=COUNTED)
    now = services["clock"]()
    passages = [one for lane in get_args(Lane) for one in await documents.lanes.passages(lane, now, limit=PASSAGES)]
    seconds = [(one.completed_at - one.started_at).total_seconds() for one in passages]
    return {
        "total_processed": counted.get(Status.SUCCEEDED, 0),
        "current_queue_length": counted.get(Status.QUEUED, 0),
        "average_processing_time": round(sum(seconds) / len(seconds), 2) if seconds else 0.0,
    }
