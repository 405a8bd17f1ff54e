"""What intake decides of an upload: whose it is, whether it is good, with which options, in which run and lane."""

from collections.abc import Sequence

import pytest

from pipeline.adapters.memory import MemoryJobs
from pipeline.adapters.memory_bus import MemoryBus
from pipeline.adapters.memory_objects import MemoryObjects
from pipeline.errors import PipelineError, RetryLaterError, storage_unavailable
from pipeline.events import Message
from pipeline.header import LONG_HEAD_BYTES
from pipeline.identity import owner_of
from pipeline.job import Job, Status, cancel, expire
from pipeline.ports.objects import ObjectInfo
from pipeline.ports.prefixes import Binding
from pipeline.queueing import INTERACTIVE_JOBS
from tests.making import NOON, noise, picture
from tests.unit.intake_desk import LIMITS, Desk

pytestmark = pytest.mark.anyio


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(
    ("key", "body", "code"),
    [
        ("a.png", b"", "image_empty"),
        ("a.jpg", b"a text that is named .jpg", "format_unsupported"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "format_unsupported"),
        ("a.png", picture()[:20], "image_truncated"),
        ("a.jpg", picture(format_="JPEG")[:30], "image_truncated"),
        ("a.png", picture(1001, 1000), "image_too_large"),
        ("a.png", picture() + bytes(LIMITS.upload_bytes), "image_too_large"),
        ("@x99/a.png", picture(), "options_invalid"),
        ("@nonsense/a.png", picture(), "options_invalid"),
        ("@x2,w9/a.png", picture(), "options_invalid"),
        ("@assess/a.png", picture(), "options_invalid"),
        ("@lossless/a.jpg", picture(format_="JPEG"), "options_invalid"),
        ("@w800/a.jpg", picture(8, 600, "JPEG"), "options_invalid"),
        ("@x16,webp/a.jpg", picture(1024, 8, "JPEG"), "format_limit_exceeded"),
    ],
)
async def test_bad_input_fails_with_a_code_a_hint_and_an_error_file(
    desk: Desk, key: str, body: bytes, code: str
) -> None:
    job = await desk.send(key, body)
    assert job.error is not None
    assert (job.status, job.error.code, job.run, job.completed_at) == (Status.FAILED, code, 1, NOON)
    assert job.error.hint
    assert job.source.bytes == len(body)
    assert desk.told() == ["failed"]
    problem = await desk.error_file(key)
    assert (problem["code"], problem["job_id"], problem["hint"]) == (code, job.id, job.error.hint)


@pytest.mark.parametrize(
    "metadata",
    [
        {"up-scale": "many"},
        {"up-quality": "0"},
        {"up-format": "gif"},
        {"up-scael": "2"},
        {"up-scale": "2", "up-width": "9"},
        {"up-outputs": '[{"format": "webp"}, {"format": "webp"}]'},  # one name for two
        {"up-outputs": '[{"width": 33}]', "up-width": "32"},
    ],
)
async def test_metadata_that_cannot_be_understood_fails_the_job(desk: Desk, metadata: dict[str, str]) -> None:
    job = await desk.send("a.png", metadata=metadata)
    assert job.error is not None
    assert job.error.code == "options_invalid"


async def test_the_error_file_says_what_an_option_takes(desk: Desk) -> None:
    job = await desk.send("a.png", metadata={"up-fit": "stretchy"})
    assert job.error is not None
    assert job.error.detail == "Option fit: 'stretchy' was given; it takes a box in pixels, such as 800x600."


async def test_a_header_behind_long_metadata_is_found_by_a_second_look(desk: Desk) -> None:
    job = await desk.send("a.jpg", picture(40, 30, "JPEG", icc_profile=bytes(200_000)))
    assert (job.status, job.source.width, job.source.height) == (Status.QUEUED, 40, 30)


async def test_a_picture_whose_directory_lies_at_the_end_is_queued_with_an_unknown_size(desk: Desk) -> None:
    body = noise(700, 700, "TIFF", compression="tiff_deflate")
    assert len(body) > LONG_HEAD_BYTES
    job = await desk.send("a.tiff", body)
    assert (job.status, job.source.format, job.source.width, job.source.height) == (Status.QUEUED, "tiff", None, None)


async def test_a_later_good_upload_of_a_failed_key_has_a_job_of_its_own(desk: Desk) -> None:
    failed = await desk.send("a.png", b"no picture")
    good = await desk.send("a.png")
    assert (desk.job(failed.id).status, good.status) == (Status.FAILED, Status.QUEUED)
    assert good.id != failed.id


async def test_an_announced_job_is_bound_by_the_key_that_was_reserved_for_it(desk: Desk) -> None:
    announced = await desk.announce(options={"scale": 3}, owner="alice")
    job = await desk.send(announced.source.key)
    assert (job.id, job.owner, job.status, job.run) == (announced.id, "alice", Status.QUEUED, 1)
    assert (job.options.effective["scale"], job.options.origin["scale"]) == (3, "request")


async def test_an_announced_job_whose_upload_comes_too_late_starts_a_run_all_the_same(desk: Desk) -> None:
    announced = await desk.announce()
    desk.jobs.jobs[announced.id] = expire(announced, NOON, reason="no_upload")
    job = await desk.send(announced.source.key)
    assert (job.id, job.status, job.run, job.completed_at) == (announced.id, Status.QUEUED, 2, None)


async def test_an_announced_job_that_was_called_off_stays_so_when_its_upload_arrives(desk: Desk) -> None:
    announced = await desk.announce()
    desk.jobs.jobs[announced.id] = off = cancel(announced, NOON, reason="canceled_by_owner")
    assert not await desk.intake().take(await desk.put(announced.source.key))
    assert (desk.only(), desk.told()) == (off, [])


@pytest.mark.parametrize("reason", ["upload_deleted", "superseded"])
async def test_an_upload_after_the_one_that_was_deleted_or_replaced_starts_a_run(desk: Desk, reason: str) -> None:
    """A worker may see that the upload is gone, or another, before its notice comes."""
    announced = await desk.announce()
    key = announced.source.key
    first = await desk.put(key, picture(8, 8))
    assert await desk.intake().take(first)
    desk.jobs.jobs[announced.id] = off = cancel(desk.job(announced.id), NOON, reason=reason)
    assert not await desk.intake().take(first)
    assert desk.only() == off
    job = await desk.send(key, picture(8, 8))
    assert (job.id, job.status, job.status_reason, job.run) == (announced.id, Status.QUEUED, None, 2)


async def test_a_reserved_key_is_deleted_and_put_again_like_all_others(desk: Desk) -> None:
    announced = await desk.announce()
    first = await desk.put(announced.source.key)
    assert await desk.intake().take(first)
    assert await desk.intake().take(await desk.delete(announced.source.key))
    assert desk.only().status_reason == "upload_deleted"
    assert not await desk.intake().take(first)
    job = await desk.send(announced.source.key)
    assert (job.id, job.status, job.run) == (announced.id, Status.QUEUED, 2)


async def test_an_announced_job_that_moves_meanwhile_is_looked_at_again(desk: Desk) -> None:
    announced = await desk.announce()

    class Racing(MemoryJobs):
        async def save(self, job: Job, outbox: Sequence[Message] = ()) -> bool:
            self.jobs[job.id] = announced.model_copy(update={"status": Status.CANCELED, "rev": 2})
            return await super().save(job, outbox)

    racing = Racing()
    racing.jobs = desk.jobs.jobs
    notice = await desk.put(announced.source.key)
    with pytest.raises(RetryLaterError):
        await desk.intake(racing).take(notice)
    assert not await desk.intake().take(notice)
    assert desk.only().status is Status.CANCELED


async def test_a_second_upload_on_a_reserved_key_starts_the_next_run(desk: Desk) -> None:
    announced = await desk.announce(options={"scale": 3})
    await desk.send(announced.source.key, picture(8, 8))
    job = await desk.send(announced.source.key, picture(9, 9))
    assert (job.id, job.run, job.status, job.source.width) == (announced.id, 2, Status.QUEUED, 9)
    assert [message.id for message in desk.bus.published if message.subject.startswith("jobs.")] == [
        f"{job.id}:1:work",
        f"{job.id}:2:work",
    ]


async def test_a_second_upload_is_read_afresh_and_not_with_the_metadata_of_the_first(desk: Desk) -> None:
    announced = await desk.announce(options={"quality": 70})
    await desk.send(announced.source.key, picture(8, 8), metadata={"up-scale": "2"})
    job = await desk.send(announced.source.key, picture(9, 9), metadata={"up-scale": "3"})
    assert (job.options.effective["scale"], job.options.origin["scale"]) == (3, "metadata")
    assert (job.options.requested, job.options.effective["quality"]) == ({"quality": 70}, 70)


async def test_metadata_beats_the_segment_and_the_request_beats_both(desk: Desk) -> None:
    job = await desk.send("@x2,q50/a.png", metadata={"up-scale": "3"})
    assert (job.options.effective["scale"], job.options.effective["quality"]) == (3, 50)
    assert (job.options.origin["scale"], job.options.origin["quality"]) == ("metadata", "segment")
    announced = await desk.announce(options={"scale": 4})
    bound = await desk.send(announced.source.key, metadata={"up-scale": "3"})
    assert (bound.options.effective["scale"], bound.options.origin["scale"]) == (4, "request")


async def test_a_size_in_metadata_replaces_the_whole_size_of_the_segment(desk: Desk) -> None:
    job = await desk.send("@x2,max40,photo/a.png", metadata={"up-width": "32", "up-outputs": '[{"width": 16}]'})
    effective, origin = job.options.effective, job.options.origin
    assert (effective["width"], origin["width"]) == (32, "metadata")
    assert not {"scale", "max"} & effective.keys()
    assert (effective["denoise"], origin["denoise"], origin["preset"]) == (33, "preset:photo", "segment")
    assert effective["outputs"] == [{"format": "png", "quality": 100, "lossless": False, "width": 16}]


async def test_a_picture_that_may_lie_on_its_side_is_queued_where_one_way_up_is_possible(desk: Desk) -> None:
    assert (await desk.send("@w800/a.png", picture(8, 600))).status is Status.QUEUED


async def test_an_ephemeral_job_goes_by_the_interactive_lane_however_many_wait(desk: Desk) -> None:
    for number in range(INTERACTIVE_JOBS + 1):
        await desk.send(f"{number}.png")
    job = await desk.announce(options={"model": "lanczos"}, ephemeral=True)
    assert (await desk.send(job.source.key)).lane == "interactive"
    assert (await desk.send("more.png")).lane == "bulk"


async def test_an_ephemeral_job_makes_little_or_nothing(desk: Desk) -> None:
    within, beyond = {"width": 4000, "height": 4000}, {"width": 4000, "height": 4001}
    extra = within | {"outputs": [{"format": "webp", "width": 1}]}
    for options, ephemeral, code in ((within, True, None), (beyond, True, "image_too_large"), (beyond, False, None)):
        job = await desk.announce(options=options, ephemeral=ephemeral)
        sent = await desk.send(job.source.key, picture(1000, 1000))
        assert (sent.error and sent.error.code) == code
    job = await desk.announce(options=extra, ephemeral=True)
    failed = await desk.send(job.source.key, picture(1000, 1000))
    assert failed.error is not None
    assert failed.error.detail == "The outputs would have 16000001 pixels; an ephemeral job makes 16000000 at most."


async def test_an_owner_waits_in_the_interactive_lane_until_too_many_jobs_are_unfinished(desk: Desk) -> None:
    lanes = [(await desk.send(f"{number}.png")).lane for number in range(INTERACTIVE_JOBS + 2)]
    assert lanes == ["interactive"] * INTERACTIVE_JOBS + ["bulk"] * 2
    assert (await desk.send("~alice/a.png")).lane == "interactive"
    assert desk.bus.published[-1].subject == "jobs.upscale.interactive"


async def test_an_outage_during_the_second_look_is_not_the_fault_of_the_upload(desk: Desk) -> None:
    class Away(MemoryObjects):
        reads = 0

        async def read(
            self, bucket: str, key: str, *, first_bytes: int | None = None, if_match: str | None = None
        ) -> tuple[ObjectInfo, bytes]:
            self.reads += 1
            if self.reads == 2:
                raise storage_unavailable("objects")
            return await super().read(bucket, key, first_bytes=first_bytes, if_match=if_match)

    desk.objects = Away()
    notice = await desk.put("a.jpg", picture(40, 30, "JPEG", icc_profile=bytes(200_000)))
    with pytest.raises(PipelineError, match="storage"):
        await desk.intake().take(notice)
    assert desk.jobs.jobs == {}
    await desk.intake().take(notice)
    assert desk.only().status is Status.QUEUED


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        *(("~alice/a.png", "alice"), ("~alice/@x4/a.png", "alice"), ("a.png", "default"), ("~/a.png", "default")),
        *(("trip/~alice/a.png", "default"), ("alice/a.png", "default")),
    ],
)
def test_a_home_belongs_to_who_it_names(key: str, owner: str) -> None:
    assert owner_of(key) == owner


async def test_an_outage_of_the_bus_leaves_the_work_in_the_outbox(desk: Desk) -> None:
    class Away(MemoryBus):
        async def publish(self, message: Message) -> None:
            raise storage_unavailable("bus")

    desk.bus = Away()
    with pytest.raises(PipelineError):
        await desk.intake().take(await desk.put("a.png"))
    waiting = await desk.jobs.unrelayed(NOON.replace(year=2100), limit=9)
    assert [message.subject.partition(".")[0] for message in waiting] == ["events", "jobs"]


async def test_another_name_under_a_reserved_prefix_is_an_upload_like_all_others(desk: Desk) -> None:
    announced = await desk.announce()
    beside = f"{announced.source.key}.copy.png"
    await desk.send(beside)
    (job,) = (job for job in desk.jobs.jobs.values() if job.source.key == beside)
    assert (job.id != announced.id, job.status) == (True, Status.QUEUED)
    assert desk.job(announced.id) == announced


async def test_work_whose_publishing_failed_goes_out_with_the_next_message_of_the_upload(desk: Desk) -> None:
    class Away(MemoryBus):
        async def publish(self, message: Message) -> None:
            raise storage_unavailable("bus")

    notice = await desk.put("a.png")
    bus, desk.bus = desk.bus, Away()
    with pytest.raises(PipelineError):
        await desk.intake().take(notice)
    desk.bus = bus
    assert desk.told() == []
    assert not await desk.intake().take(notice)
    assert desk.told() == ["queued", "work"]


@pytest.mark.parametrize(
    ("bound", "key", "said"),
    [
        ([("default", "trip/", "art")], "trip/a.png", ("art", "prefix")),
        ([("default", "trip/", "art"), ("default", "trip/sea/", "photo")], "trip/sea/a.png", ("photo", "prefix")),
        ([("default", "", "art"), ("default", "trip/", "photo")], "trip/a.png", ("photo", "prefix")),
        ([("default", "", "art"), ("default", "trip/", "photo")], "other/a.png", ("art", "owner")),
        ([("alice", "~alice/", "art")], "~alice/deep/a.png", ("art", "prefix")),
        ([("default", "trip/", "art")], "trip/@photo/a.png", ("photo", "segment")),
        ([("default", "trip/", "art")], "trips/a.png", (None, None)),
        ([("alice", "", "art")], "trip/a.png", (None, None)),  # somebody else's
    ],
)
async def test_the_preset_of_the_longest_prefix_holds_and_then_the_owners(
    desk: Desk, bound: list[tuple[str, str, str]], key: str, said: tuple[str | None, str | None]
) -> None:
    for binding in bound:
        await desk.prefixes.bind(Binding(*binding))
    options = (await desk.send(key)).options
    assert (options.effective.get("preset"), options.origin.get("preset")) == said


async def test_an_owners_preset_holds_for_announced_uploads_and_what_they_ask_for_comes_first(desk: Desk) -> None:
    await desk.prefixes.bind(Binding("alice", "", "photo"))
    job = await desk.announce(owner="alice", options={"denoise": 7})
    await desk.send(job.source.key)
    options = desk.job(job.id).options
    assert (options.effective["denoise"], options.origin["denoise"], options.origin["preset"]) == (
        7,
        "request",
        "owner",
    )


async def test_a_preset_that_is_no_more_fails_the_job_and_is_no_silent_default(desk: Desk) -> None:
    await desk.prefixes.bind(Binding("default", "trip/", "gone"))
    job = await desk.send("trip/a.png")
    assert (job.status, job.error and job.error.code) == (Status.FAILED, "options_invalid")


async def test_metadata_comes_before_folders_and_folders_field_by_field(desk: Desk) -> None:
    job = await desk.send("@x4,webp,q50/deep/@x3,q60/a.png", metadata={"up-quality": "70", "mtime": "1.5"})
    wanted = {"scale": (3.0, "segment"), "format": ("webp", "segment"), "quality": (70, "metadata")}
    assert {name: (job.options.effective[name], job.options.origin[name]) for name in wanted} == wanted
