"""Permissions for clients, as URLs: forms and downloads signed by the minio library, size-bound PUTs by botocore."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from minio.datatypes import PostPolicy

from pipeline.adapters.minio_store import Endpoint
from pipeline.ports.objects import UploadForm, UploadPut
from pipeline.topology import REGION, UPLOADS_BUCKET


class MinioPresigner:
    """`Presigner` for an S3 endpoint under its public address."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._client = endpoint.client()

    def form(self, key: str, *, size_bytes: int, content_type: str | None, expires_seconds: int) -> UploadForm:
        """See `Presigner.form`; the key and, where given, the content type are fixed by the policy."""
        policy = PostPolicy(UPLOADS_BUCKET, datetime.now(UTC) + timedelta(seconds=expires_seconds))
        policy.add_equals_condition("key", key)
        policy.add_content_length_range_condition(1, size_bytes)
        fields = {"key": key}
        if content_type is not None:
            policy.add_equals_condition("Content-Type", content_type)
            fields["Content-Type"] = content_type
        signed = self._client.presigned_post_policy(policy)
        return UploadForm(f"{self._endpoint.origin}/{UPLOADS_BUCKET}", fields | signed)

    def put(self, key: str, *, size_bytes: int, expires_seconds: int) -> UploadPut:
        """See `Presigner.put`; only botocore can sign a header (the size) into a presigned URL."""
        headers = {"Content-Length": str(size_bytes)}
        request = AWSRequest("PUT", self._endpoint.url(UPLOADS_BUCKET, key), headers=headers)
        ours = self._endpoint.credentials
        S3SigV4QueryAuth(Credentials(ours.access_key, ours.secret_key), "s3", REGION, expires_seconds).add_auth(request)
        return UploadPut(request.url, headers)

    def get(self, bucket: str, key: str, *, filename: str, expires_seconds: int) -> str:
        """See `Presigner.get`; the file name travels as RFC 6266 wants it."""
        disposition = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
        return self._client.get_presigned_url(
            "GET",
            bucket,
            key,
            expires=timedelta(seconds=expires_seconds),
            response_headers={"response-content-disposition": disposition},
        )
