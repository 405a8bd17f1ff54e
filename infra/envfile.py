"""The file that a person sources: where the API and the object store are, and their own credentials."""

from pathlib import Path

from infra.bootstrap.objects import OWNER_ACCESS_KEY
from infra.secrets import write_private
from infra.stack import Stack
from pipeline.topology import REGION


def owner_environment(stack: Stack) -> dict[str, str]:
    """What `enlarger`, `aws`, `boto3` and `curl` of the owner read."""
    return {
        "ENLARGER_URL": stack.api_url(),
        "ENLARGER_TOKEN": stack.secrets.token,
        "AWS_ENDPOINT_URL": stack.addresses.minio_endpoint(),
        "AWS_ACCESS_KEY_ID": OWNER_ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": stack.secrets.passwords["owner"],
        "AWS_DEFAULT_REGION": REGION,
    }


def render(environment: dict[str, str]) -> str:
    """`KEY=value` lines; values are hexadecimal or URLs, which no shell reads otherwise."""
    return "".join(f"{key}={value}\n" for key, value in environment.items())


def write(path: Path, stack: Stack) -> None:
    """Write the file with mode 0600."""
    write_private(path, render(owner_environment(stack)))
