"""From a picture to an enlarged file in one call."""

import os
from typing import Unpack

from enlarger.client import AsyncClient, Client
from enlarger.jobs import Upscaled
from enlarger.options import Options
from enlarger.pictures import PictureLike


def upscale(
    picture: PictureLike, *, to: str | os.PathLike[str], replace: bool = True, **options: Unpack[Options]
) -> Upscaled:
    """Enlarge one picture, as `Client.upscale`, with the service that `ENLARGER_URL` and `ENLARGER_TOKEN` name."""
    with Client() as client:
        return client.upscale(picture, to=to, replace=replace, **options)


async def upscale_async(
    picture: PictureLike, *, to: str | os.PathLike[str], replace: bool = True, **options: Unpack[Options]
) -> Upscaled:
    """Do the same while other tasks of the event loop go on."""
    async with AsyncClient() as client:
        return await client.upscale(picture, to=to, replace=replace, **options)
