"""Python SDK of Enlarger: upload a picture, wait for it, fetch it enlarged. Talks HTTP only.

from enlarger import Client

with Client("http://127.0.0.1:8000", token="...") as client:
    job = client.upload("photo.jpg", {"scale": 4})
    client.wait(job.id).raise_for_status()
    client.result(job.id, "photo-x4.jpg")
"""

from enlarger.account_models import Me, NewToken, Token, User
from enlarger.admin_models import Check, Doctor, Worker
from enlarger.client import AsyncClient, Client
from enlarger.errors import EnlargerError
from enlarger.login import Login
from enlarger.models import (
    Estimate,
    Failure,
    Job,
    Metrics,
    Model,
    ModelDetail,
    Output,
    PresetList,
    Progress,
    Queue,
    Source,
)
from enlarger.retries import Clock
from enlarger.webhook_models import Delivery, Webhook

__all__ = [
    "AsyncClient",
    "Check",
    "Client",
    "Clock",
    "Delivery",
    "Doctor",
    "EnlargerError",
    "Estimate",
    "Failure",
    "Job",
    "Login",
    "Me",
    "Metrics",
    "Model",
    "ModelDetail",
    "NewToken",
    "Output",
    "PresetList",
    "Progress",
    "Queue",
    "Source",
    "Token",
    "User",
    "Webhook",
    "Worker",
]
