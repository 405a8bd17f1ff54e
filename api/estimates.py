"""What would become of a picture: its options, the sizes of its outputs, when it would be done. Nothing is kept."""

import asyncio
from dataclasses import asdict
from typing import Any

from api.arrivals import Arrival
from api.queues import Queues
from api.workers import live_reports, refuse_unknown_model
from pipeline.admission import ReadHead, layers_of, read_header, refuse_unfit
from pipeline.clock import Clock
from pipeline.errors import PipelineError
from pipeline.header import Header, asked_pixels
from pipeline.identity import new_job_id, reserved_key
from pipeline.job import JobOptions
from pipeline.layers import resolve
from pipeline.options import Effective
from pipeline.ports.documents import Documents
from pipeline.ports.objects import ObjectInfo, ObjectMissingError, ObjectStore, PreconditionError
from pipeline.quotas import Allowances, Asked, submission
from pipeline.sizes import MAX_FACTOR, MAX_OUTPUT_PIXELS, output_sizes
from pipeline.topology import UPLOADS_BUCKET
from pipeline.wire import Queue, Wire


class EstimatedSource(Wire):
    """What the head of the picture says. Sizes in bytes and pixels; None where only decoding it would tell."""

    bytes: int
    format: str
    width: int | None
    height: int | None


class EstimatedOutput(Wire):
    """One object that would be written; pixels are None where those of the source are."""

    role: str
    format: str
    width: int | None
    height: int | None


class Limits(Wire):
    """The most that is taken (bytes and pixels of an upload) and made (pixels of an output, times a side)."""

    upload_bytes: int
    pixels: int
    output_pixels: int = MAX_OUTPUT_PIXELS
    factor: int = MAX_FACTOR


class Estimate(Wire):
    """What a job would be, were it made now.

    Args:
        source: The picture.
        options: What holds, and where each value comes from.
        outputs: The main one first.
        queue: Where it would wait, and between which seconds from now it would end.
        status_reason: What it would wait for.
        limits: Of this service.
    """

    source: EstimatedSource
    options: JobOptions
    outputs: tuple[EstimatedOutput, ...]
    queue: Queue | None
    status_reason: str | None
    limits: Limits


class Estimates:
    """Decides as ingest would; collaborators are injected."""

    def __init__(
        self,
        documents: Documents,
        objects: ObjectStore,
        queues: Queues,
        *,
        allowances: Allowances,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._documents = documents
        self._objects = objects
        self._queues = queues
        self._allowances = allowances
        self._clock = clock
        self._limits = limits

    async def estimate(self, owner: str, arrival: Arrival) -> Estimate:
        """What a job of *arrival* would be; raises as `decided`, and `quota_exceeded`."""
        header, options = await self.decided(owner, arrival)
        wanted, effective = arrival.wanted, Effective.model_validate(options.effective)
        pixels: Asked = {"pixels": asked_pixels(header, effective) or 0}
        async with self._allowances.turn(owner) as check:
            await check({**submission(wanted.size_bytes), **pixels})
        reason, queue = await self._queues.prospect(owner, options.effective, ephemeral=wanted.ephemeral)
        return Estimate(
            source=EstimatedSource(bytes=wanted.size_bytes, **asdict(header)),
            options=options,
            outputs=tuple(_outputs(header, effective)),
            queue=queue,
            status_reason=reason,
            limits=self._limits,
        )

    async def decided(self, owner: str, arrival: Arrival) -> tuple[Header, JobOptions]:
        """What ingest will find and decide; raises why *arrival* would be refused, or fail before it is queued."""
        wanted, key = arrival.wanted, reserved_key(new_job_id(), arrival.wanted.filename)
        refuse_unknown_model(wanted.options.model, await live_reports(self._documents.workers, self._clock()))
        header = await read_header(self._reading(arrival), wanted.size_bytes)
        metadata = arrival.picture.metadata if isinstance(arrival.picture, ObjectInfo) else {}
        prefixes = self._documents.prefixes
        layers = await layers_of(prefixes, owner, key, asked=wanted.options, metadata=metadata)
        options = resolve(layers, source_format=header.format)
        effective = Effective.model_validate(options.effective)
        refuse_unfit(header, effective, key, max_pixels=self._limits.pixels, ephemeral=wanted.ephemeral)
        return header, options

    def _reading(self, arrival: Arrival) -> ReadHead:
        picture = arrival.picture
        if isinstance(picture, ObjectInfo):
            key, etag = picture.key, picture.etag

            async def read(first_bytes: int) -> bytes:
                try:
                    return (await self._objects.read(UPLOADS_BUCKET, key, first_bytes=first_bytes, if_match=etag))[1]
                except (ObjectMissingError, PreconditionError):
                    detail, hint = "The object was deleted or replaced at this moment.", "Ask again."
                    raise PipelineError(detail, code="object_missing", hint=hint) from None

            return read
        file = picture

        async def read_file(first_bytes: int) -> bytes:
            await asyncio.to_thread(file.seek, 0)
            return await asyncio.to_thread(file.read, first_bytes)

        return read_file


def _outputs(header: Header, effective: Effective) -> list[EstimatedOutput]:
    formats = [effective.format, *(extra.format for extra in effective.outputs)]
    sizes: list[Any] = [(None, None)] * len(formats)
    if header.width is not None and header.height is not None:
        sizes = list(output_sizes(header.width, header.height, effective))
    roles = ["main", *["extra"] * len(effective.outputs)]
    return [
        EstimatedOutput(role=role, format=format_, width=width, height=height)
        for role, format_, (width, height) in zip(roles, formats, sizes, strict=True)
    ]
