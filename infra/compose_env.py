"""`python3 -m infra.compose_env` writes `.env` for docker compose, with new secrets; it keeps one that is there.

Needs the standard library alone, because a machine with Docker needs nothing else of ours installed.
"""

import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

CLONE: Final = Path(__file__).parent.parent
API_PORT: Final = "8080"
MINIO_PORT: Final = "9000"
HEADER: Final = """\
# Secrets of this installation, made by `python3 -m infra.compose_env`. docker compose reads them, and so does a shell
# that is to run aws, curl or enlarger: set -a; . ./.env; set +a
"""


def required(compose: str) -> list[str]:
    """The passwords and tokens that the text of a compose file cannot do without."""
    return sorted(set(re.findall(r"\$\{(ENLARGER_(?:PASSWORD_\w+|TOKEN)):\?", compose)))


def variables(names: list[str], environment: Mapping[str, str]) -> dict[str, str]:
    """A new secret for each of *names*, the addresses, and what the owner's S3 client and `enlarger` read.

    ENLARGER_API_PORT, ENLARGER_MINIO_PORT and the two PUBLIC_URLs of *environment* are taken over.
    """
    api_port = environment.get("ENLARGER_API_PORT", API_PORT)
    minio_port = environment.get("ENLARGER_MINIO_PORT", MINIO_PORT)
    api = environment.get("ENLARGER_PUBLIC_URL", f"http://127.0.0.1:{api_port}")
    minio = environment.get("ENLARGER_MINIO_PUBLIC_URL", f"http://127.0.0.1:{minio_port}")
    made = {name: secrets.token_hex(20) for name in names}
    made["ENLARGER_TOKEN"] = f"enl_{made['ENLARGER_TOKEN']}"
    return made | {
        "ENLARGER_API_PORT": api_port,
        "ENLARGER_MINIO_PORT": minio_port,
        "ENLARGER_PUBLIC_URL": api,
        "ENLARGER_MINIO_PUBLIC_URL": minio,
        "ENLARGER_URL": api,
        "AWS_ENDPOINT_URL": minio,
        "AWS_ACCESS_KEY_ID": "enlarger",
        "AWS_SECRET_ACCESS_KEY": made["ENLARGER_PASSWORD_OWNER"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def write(path: Path, values: Mapping[str, str]) -> None:
    """Write *values* with mode 0600; FileExistsError when *path* is there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(HEADER + "".join(f"{name}={value}\n" for name, value in values.items()))


def complete(path: Path, names: list[str]) -> list[str]:
    """Append a new secret for each of *names* that the file does not give yet, and return those; the others stay."""
    given = set(re.findall(r"^(?:export )?(\w+)=", path.read_text(), re.MULTILINE))
    missing = [name for name in names if name not in given]
    with path.open("a") as file:
        file.writelines(f"{name}={secrets.token_hex(20)}\n" for name in missing)
    return missing


def main() -> int:
    """Write `.env` beside docker-compose.yml, or what a newer version needs besides."""
    path, names = CLONE / ".env", required((CLONE / "docker-compose.yml").read_text())
    try:
        write(path, variables(names, os.environ))
    except FileExistsError:
        print(f"{path} is there already and stays as it is: the servers know its passwords")
        if added := complete(path, names):
            print(f"added what this version needs besides: {', '.join(added)}")
    else:
        print(f"{path} written; next: docker compose up -d --build")
    return 0


if __name__ == "__main__":
    sys.exit(main())
