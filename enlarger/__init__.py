"""Python SDK of Enlarger: upload a picture, wait for it, fetch it enlarged. Talks HTTP only.

import enlarger

enlarger.upscale("photo.jpg", scale=4, to="photo-x4.png")

with enlarger.Client("http://127.0.0.1:8000", token="...") as client:
    job = client.upload("photo.jpg", {"scale": 4})
    client.wait(job.id).raise_for_status()
    client.result(job.id, "photo-x4.jpg")
"""

from enlarger.account_models import Me, NewToken, Token, User
from enlarger.admin_models import Check, Doctor, Worker
from enlarger.batch_models import Batch, ManifestLine
from enlarger.client import AsyncClient, Client
from enlarger.errors import EnlargerError
from enlarger.jobs import Upscaled
from enlarger.login import Login
from enlarger.models import (
    Estimate,
    Failure,
    Job,
    Link,
    Metrics,
    Model,
    ModelDetail,
    Output,
    PresetList,
    Progress,
    Queue,
    Source,
)
from enlarger.options import Options
from enlarger.quotas import Usage
from enlarger.retries import Clock
from enlarger.upscaling import upscale, upscale_async
from enlarger.webhook_models import Delivery, Webhook

__all__ = [
    "AsyncClient",
    "Batch",
    "Check",
    "Client",
    "Clock",
    "Delivery",
    "Doctor",
    "EnlargerError",
    "Estimate",
    "Failure",
    "Job",
    "Link",
    "Login",
    "ManifestLine",
    "Me",
    "Metrics",
    "Model",
    "ModelDetail",
    "NewToken",
    "Options",
    "Output",
    "PresetList",
    "Progress",
    "Queue",
    "Source",
    "Token",
    "Upscaled",
    "Usage",
    "User",
    "Webhook",
    "Worker",
    "upscale",
    "upscale_async",
]
