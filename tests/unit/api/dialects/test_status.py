"""The dialect `status` as its own clients use it: a form without a token, polling, canceling."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2
import pytest

from api.limits import LimitName
from pipeline.errors import PipelineError
from pipeline.job import Status
from pipeline.wire import Progress
from tests.unit.api.dialects.conftest import DIALECTS, JPEG, RESULT, House, Open, bearer, detail, picture


def submit(house: House, **data: str) -> dict[str, Any]:
    answer = house.client.post("/upscale", files=picture(JPEG, "my photo.jpg"), data=data)
    assert answer.status_code == 200
    return dict(answer.json())


def status_of(house: House, job_id: str) -> dict[str, Any]:
    return dict(house.client.get(f"/status/{job_id}").json())


@pytest.mark.parametrize(
    ("quotas", "said"),
    [
        ({"upscale": 20}, '"upscale";r=19;t=60'),
        ({"status": 60}, '"status";r=59;t=60'),
        ({"default": 30}, '"default";r=29;t=60'),
    ],
)
def test_calls_have_the_limits_that_they_had(house: House, quotas: dict[LimitName, int], said: str) -> None:
    house.quotas |= quotas
    sent = house.client.post("/upscale", files=picture())
    id_ = sent.json()["job_id"]
    answers = sent, house.client.get(f"/status/{id_}"), house.client.delete(f"/job/{id_}")
    assert [one.headers["ratelimit"] for one in answers if "ratelimit" in one.headers] == [said]


def test_a_form_is_queued_and_its_fields_are_told_back(house: House) -> None:
    told = submit(house, scale="4", face_enhance="false")
    assert told.keys() == {"job_id", "status", "message", "estimated_time", "parameters"}
    assert str(UUID(told["job_id"])) == told["job_id"]
    assert (told["status"], told["estimated_time"]) == ("queued", "30-120 seconds")
    assert told["parameters"] == {"scale": 4, "face_enhance": False}
    assert house.only_job().owner == "anonymous"


def test_scale_is_2_and_faces_are_left_alone_unless_asked(house: House) -> None:
    assert submit(house)["parameters"] == {"scale": 2, "face_enhance": False}
    assert house.only_job().options.requested == {"scale": 2.0}


def test_face_enhancement_without_its_model_says_so(house: House) -> None:
    told = submit(house, face_enhance="true")
    assert "without face enhancement" in told["message"]
    assert told["parameters"]["face_enhance"] is True
    assert house.only_job().options.requested["face"] == 100


def test_a_job_is_polled_until_it_has_a_result_that_needs_no_token(house: House) -> None:
    job_id = submit(house)["job_id"]
    waiting = status_of(house, job_id)
    assert waiting == {
        "job_id": job_id,
        "status": "queued",
        "progress": 0,
        "result_url": None,
        "original_filename": "my photo.jpg",
        "processing_time": None,
        "completed_at": None,
    }
    house.work()
    done = status_of(house, job_id)
    assert (done["status"], done["progress"], done["processing_time"]) == ("completed", 100, 2.0)
    assert done["completed_at"] == house.now.timestamp()
    answer = house.client.get(done["result_url"])
    assert (answer.status_code, answer.content) == (200, RESULT)


def test_live_progress_is_a_whole_number(house: House) -> None:
    job_id = submit(house)["job_id"]
    job = house.only_job()
    house.jobs.jobs[job.id] = job.model_copy(update={"status": Status.PROCESSING})
    progress = Progress(percent=41.7, stage="device", tiles_done=1, tiles_total=2)
    house.call(lambda: house.bus.shout(f"progress.{job.id}", progress.model_dump_json().encode()))
    told = status_of(house, job_id)
    assert (told["status"], told["progress"]) == ("processing", 41)
    assert house.client.get(f"/result/{job_id}").status_code == 404


def test_a_failed_job_says_why(house: House) -> None:
    job_id = submit(house)["job_id"]
    house.error = PipelineError("It ends early.", code="image_truncated", hint="Upload all of it.")
    house.work()
    told = status_of(house, job_id)
    assert (told["status"], told["result_url"], told["error"]) == ("failed", None, "It ends early. Upload all of it.")


def test_a_job_is_canceled_once(house: House) -> None:
    job_id = submit(house)["job_id"]
    assert house.client.delete(f"/job/{job_id}").json() == {"message": "Job cancelled successfully"}
    assert status_of(house, job_id)["status"] == "cancelled"
    assert detail(house.client.delete(f"/job/{job_id}")) == (400, "Cannot cancel the job: it is cancelled")


@pytest.mark.parametrize("status", [Status.PUBLISHING, Status.SUCCEEDED])
def test_a_job_that_is_done_cannot_be_canceled(house: House, status: Status) -> None:
    job_id = submit(house)["job_id"]
    job = house.only_job()
    house.jobs.jobs[job.id] = job.model_copy(update={"status": status})
    assert detail(house.client.delete(f"/job/{job_id}"))[0] == 400


def refused(house: House, data: dict[str, str] | None = None, **files: Any) -> httpx2.Response:
    return house.client.post("/upscale", data=data or {}, files=files)


def test_what_is_wrong_with_a_form_is_a_400_that_says_what(house: House) -> None:
    assert detail(refused(house, {"scale": "3"}, **picture())) == (400, "scale: must be 2 or 4")
    assert detail(refused(house, {"face_enhance": "perhaps"}, **picture()))[0] == 400
    assert detail(refused(house, other=("a.png", b"x"))) == (400, "The form needs a field file that holds a picture")
    assert detail(refused(house, **picture(b""))) == (400, "The file is empty")
    assert detail(refused(house, **picture(b"no picture")))[0] == 400
    assert "too large" in detail(refused(house, **picture(JPEG + bytes(400_000))))[1]
    assert detail(house.client.post("/upscale", files=picture(JPEG + bytes(16 << 20))))[0] == 400
    assert not house.jobs.jobs


def test_what_is_not_there_or_belongs_to_others_is_a_404(house: House) -> None:
    job_id = submit(house)["job_id"]
    for path in ("/status/no-uuid", "/status/01a1fdbf-8ad6-86f5-9054-ab1765e82ec7"):
        assert detail(house.client.get(path))[0] == 404
    for method, path in (("GET", "status"), ("GET", "result"), ("DELETE", "job")):
        assert house.client.request(method, f"/{path}/{job_id}", headers=bearer("enl_alice")).status_code == 404


def test_nobody_is_anonymous_where_that_is_off(opened: Open) -> None:
    house, client = opened(replace(DIALECTS, anonymous=False))
    with client:
        assert client.post("/upscale", files=picture()).status_code == 401
        assert client.post("/upscale", files=picture(), headers=bearer("enl_alice")).status_code == 200
    assert house.only_job().owner == "alice"


def shape(value: Any) -> Any:
    """The types of a body, key by key."""
    return {name: shape(inner) for name, inner in value.items()} if isinstance(value, dict) else type(value)


def test_health_has_every_field(house: House) -> None:
    told = house.client.get("/health").json()
    usage = {"cpu_usage": str, "memory_usage": str, "disk_usage": str, "load_average": list}
    assert shape(told) == {
        "status": str,
        "timestamp": float,
        "version": str,
        "database": str,
        "redis": str,
        "redis_info": {"used_memory": str, "connected_clients": int, "total_connections_received": int},
        "system": usage,
    }
    assert (told["status"], told["redis"], told["database"]) == ("healthy", "connected", "connected")
    assert told["redis_info"] == {"used_memory": "1.2M", "connected_clients": 2, "total_connections_received": 45}
    assert all(told["system"][name].endswith("%") for name in list(usage)[:3])
    assert [type(load) for load in told["system"]["load_average"]] == [float] * 3


def test_health_says_which_server_is_silent(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent() -> None:
        raise ConnectionError

    house, client = opened()
    monkeypatch.setattr(house.bus, "ping", silent)
    with client:
        answer = client.get("/health")
    told = answer.json()
    assert (answer.status_code, told["status"]) == (503, "unhealthy")
    assert (told["redis"], told["database"]) == ("disconnected", "connected")


def test_metrics_are_json_with_true_counts(house: House) -> None:
    submit(house)
    house.work()
    submit(house)
    house.add_job(status=Status.QUEUED)
    told = house.client.get("/metrics").json()
    assert told["jobs"].keys() == {"total_processed", "current_queue_length", "average_processing_time"}
    assert (told["jobs"]["total_processed"], told["jobs"]["current_queue_length"]) == (1, 1)
    assert told["redis"] == {"connected_clients": 2, "used_memory_mb": 1.2, "operations_per_second": 1.5}
    numbers = ["cpu_usage_percent", "memory_usage_percent", "memory_available_gb", "disk_usage_percent", "disk_free_gb"]
    assert list(told["system"]) == numbers
    assert all(isinstance(told["system"][name], float) for name in numbers)


@pytest.mark.parametrize("accept", ["text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0, */*"])
def test_metrics_are_text_for_prometheus(house: House, accept: str) -> None:
    answer = house.client.get("/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "# HELP" in answer.text


def test_the_front_page_leads_to_the_documentation_where_it_is_alone(opened: Open) -> None:
    _, client = opened(replace(DIALECTS, names=("status",)))
    with client:
        answer = client.get("/")
        assert (answer.status_code, answer.headers["location"]) == (307, "/docs")
        assert "swagger-ui" in client.get(answer.headers["location"]).text
        assert detail(client.post("/upscale", content=b"{}"))[0] == 400
