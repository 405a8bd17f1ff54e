"""Handlers of S3 credentials that open one home each, for whoever runs the service."""

from starlette.requests import Request
from starlette.responses import Response

from api import follow_ups
from api.answers import NewS3Credential, S3Credential, S3CredentialList
from api.audit import noted
from api.exchange import answer, read_json
from api.operations import operation
from api.requests import CredentialRequest
from api.services import Services
from pipeline.errors import PipelineError
from pipeline.ports.credentials import home_of
from pipeline.topology import OUTPUTS_BUCKET, REGION, UPLOADS_BUCKET


@operation("List the S3 credentials of homes", answers={200: S3CredentialList}, access="admin")
async def list_credentials(request: Request[Services]) -> Response:
    """`GET /v1/admin/s3-credentials`."""
    found = await request.state["credentials"].list()
    items = tuple(S3Credential(access_key=one.access_key, user=one.user) for one in found)
    return answer(S3CredentialList(items=items))


@operation(
    "Make an S3 credential that opens the home of one user; its secret is told this once",
    answers={201: NewS3Credential},
    access="admin",
    body=CredentialRequest,
    links=follow_ups.CREDENTIAL,
)
async def create_credential(request: Request[Services]) -> Response:
    """`POST /v1/admin/s3-credentials`."""
    wanted = await read_json(request, CredentialRequest, {})
    made = await request.state["credentials"].create(wanted.user)
    noted(request, user=made.user, access_key=made.access_key)
    home = home_of(made.user)
    told = NewS3Credential(
        access_key=made.access_key,
        user=made.user,
        secret_key=made.secret_key,
        endpoint=made.endpoint,
        region=REGION,
        uploads=f"s3://{UPLOADS_BUCKET}/{home}",
        outputs=f"s3://{OUTPUTS_BUCKET}/{home}",
    )
    return answer(told, 201)


@operation(
    "Make an S3 credential useless at once",
    answers={204: None},
    access="admin",
    refusals=("credential_not_found",),
)
async def revoke_credential(request: Request[Services]) -> Response:
    """`DELETE /v1/admin/s3-credentials/{access_key}`."""
    access_key = request.path_params["access_key"]
    if not await request.state["credentials"].revoke(access_key):
        hint = "`enlarger s3 credentials ls` lists those there are."
        raise PipelineError(f"There is no credential {access_key!r}.", code="credential_not_found", hint=hint)
    return Response(status_code=204)
