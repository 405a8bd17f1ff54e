"""S3 clients that people have, on real servers: each brings pictures in, fetches them enlarged and clears up."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from minio import Minio

from tests.deployment import Deployment
from tests.making import noise
from tests.pictures import encoded, opened, photograph
from tests.waiting import eventually

PACKAGES = {"aws": "pip install awscli", "rclone": "apt-get install rclone", "s3cmd": "apt-get install s3cmd"}
#: The smallest part of a multipart upload that S3 allows, and a picture of two parts.
PART_BYTES = 5 << 20
PICTURE = encoded(photograph(32, 24), "PNG")
#: What each client is asked to send along; the second is somebody else's business.
WISHES = {"up-scale": "2", "up-max": "64", "colour-label": "red"}


@pytest.fixture(scope="module")
def two_parts() -> bytes:
    picture = noise(1400, 1400, "PNG")
    assert PART_BYTES < len(picture) < 2 * PART_BYTES
    return picture


@dataclass(frozen=True, slots=True)
class Shell:
    """Programs as one person runs them, with a home folder of their own."""

    home: Path
    variables: Mapping[str, str]

    def __call__(self, *command: str) -> str:
        """Standard output of a command that must succeed."""
        done = self.attempt(*command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def attempt(self, *command: str) -> subprocess.CompletedProcess[str]:
        if shutil.which(command[0]) is None:
            pytest.fail(f"{command[0]} is not on PATH: {PACKAGES.get(command[0], 'install it')}")
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), **self.variables}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def shell(enlarger: Deployment, tmp_path: Path) -> Shell:
    owner = enlarger.servers.owner()
    remote = {
        "TYPE": "s3",
        "PROVIDER": "Minio",
        "ENDPOINT": owner["AWS_ENDPOINT_URL"],
        "ACCESS_KEY_ID": owner["AWS_ACCESS_KEY_ID"],
        "SECRET_ACCESS_KEY": owner["AWS_SECRET_ACCESS_KEY"],
        "NO_CHECK_BUCKET": "true",
    }
    host = owner["AWS_ENDPOINT_URL"].removeprefix("http://")
    (tmp_path / ".s3cfg").write_text(
        f"[default]\naccess_key = {owner['AWS_ACCESS_KEY_ID']}\nsecret_key = {owner['AWS_SECRET_ACCESS_KEY']}\n"
        f"host_base = {host}\nhost_bucket = {host}\nbucket_location = us-east-1\nuse_https = False\n"
    )
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        "[default]\ns3 =\n  multipart_threshold = 5MB\n  multipart_chunksize = 5MB\n"
    )
    return Shell(tmp_path, owner | {f"RCLONE_CONFIG_STORE_{name}": value for name, value in remote.items()})


Put = Callable[[Deployment, Shell, Path, str], object]


def with_aws(_: Deployment, shell: Shell, path: Path, key: str) -> None:
    shell("aws", "s3", "cp", str(path), f"s3://uploads/{key}", "--metadata", json.dumps(WISHES))


def with_boto3(enlarger: Deployment, _: Shell, path: Path, key: str) -> None:
    parts = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)
    enlarger.s3.upload_file(str(path), "uploads", key, ExtraArgs={"Metadata": WISHES}, Config=parts)


def with_minio(enlarger: Deployment, _: Shell, path: Path, key: str) -> None:
    owner = enlarger.servers.owner()
    host = owner["AWS_ENDPOINT_URL"].removeprefix("http://")
    client = Minio(host, owner["AWS_ACCESS_KEY_ID"], owner["AWS_SECRET_ACCESS_KEY"], secure=False)
    client.fput_object("uploads", key, str(path), metadata=dict(WISHES), part_size=PART_BYTES)


def with_rclone(_: Deployment, shell: Shell, path: Path, key: str) -> None:
    headers = [word for name, value in WISHES.items() for word in ("--header-upload", f"x-amz-meta-{name}: {value}")]
    parts = ("--s3-upload-cutoff", "5Mi", "--s3-chunk-size", "5Mi")
    shell("rclone", "copyto", str(path), f"store:uploads/{key}", *headers, *parts)


def with_s3cmd(_: Deployment, shell: Shell, path: Path, key: str) -> None:
    headers = [f"--add-header=x-amz-meta-{name}:{value}" for name, value in WISHES.items()]
    shell("s3cmd", "put", str(path), f"s3://uploads/{key}", "--multipart-chunk-size-mb=5", *headers)


CLIENTS: dict[str, Put] = {
    "aws": with_aws,
    "boto3": with_boto3,
    "minio-py": with_minio,
    "rclone": with_rclone,
    "s3cmd": with_s3cmd,
}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_client_sends_along_is_heeded_or_tolerated(
    enlarger: Deployment, shell: Shell, tmp_path: Path, client: str
) -> None:
    """A key that needs escaping, an option as metadata, and whatever the client adds of its own."""
    key = f"clients/@m-lanczos/{client}/ph é +%2F.png"
    (tmp_path / "a.png").write_bytes(PICTURE)
    CLIENTS[client](enlarger, shell, tmp_path / "a.png", key)
    assert opened(enlarger.output(key)).shape == (48, 64, 3)
    job = enlarger.job_of(key)
    assert (job["status"], job["options"]["origin"]["scale"]) == ("succeeded", "metadata")
    stored = enlarger.s3.head_object(Bucket="uploads", Key=key)["Metadata"]
    assert WISHES.items() <= stored.items()


@pytest.mark.parametrize("client", CLIENTS)
def test_an_upload_in_parts_is_one_job(
    enlarger: Deployment, shell: Shell, tmp_path: Path, two_parts: bytes, client: str
) -> None:
    key = f"parts/@m-lanczos/{client}.png"
    (tmp_path / "large.png").write_bytes(two_parts)
    CLIENTS[client](enlarger, shell, tmp_path / "large.png", key)
    job = enlarger.job_of(key)
    assert (job["status"], job["options"]["origin"]["max"]) == ("succeeded", "metadata")
    assert (job["source"]["etag"].rpartition("-")[2], job["source"]["bytes"]) == ("2", len(two_parts))


def tree(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PICTURE)
    return folder


def keys(enlarger: Deployment, bucket: str, prefix: str) -> list[str]:
    found = enlarger.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return [item["Key"].removeprefix(prefix) for item in found]


SYNCS = {
    "aws": (("aws", "s3", "sync"), "s3://{}/{}"),
    "rclone": (("rclone", "sync"), "store:{}/{}"),
    "s3cmd": (("s3cmd", "sync"), "s3://{}/{}"),
}


@pytest.mark.parametrize("client", SYNCS)
def test_a_folder_goes_in_and_the_same_tree_comes_back(
    enlarger: Deployment, shell: Shell, tmp_path: Path, client: str
) -> None:
    command, place = SYNCS[client]
    prefix, names = f"sync-{client}/@x2,m-lanczos/", ["a.png", "deep/er/b é.png"]
    photos = tree(tmp_path / "photos", *names)
    shell(*command, f"{photos}/", place.format("uploads", prefix))
    for name in names:
        enlarger.output(f"{prefix}{name}")
    jobs = [enlarger.job_of(f"{prefix}{name}")["id"] for name in names]
    (tmp_path / "back").mkdir()
    shell(*command, place.format("outputs", prefix), f"{tmp_path / 'back'}/")
    assert all(opened((tmp_path / "back" / name).read_bytes()).shape == (48, 64, 3) for name in names)
    shell(*command, f"{photos}/", place.format("uploads", prefix))
    assert [enlarger.job_of(f"{prefix}{name}")["id"] for name in names] == jobs, "nothing changed, nothing is sent"


def test_aws_moves_renames_and_removes(enlarger: Deployment, shell: Shell, tmp_path: Path) -> None:
    prefix = "moves/@x2,m-lanczos/"
    photos = tree(tmp_path / "photos", "a.png")
    shell("aws", "s3", "mv", str(photos / "a.png"), f"s3://uploads/{prefix}a.png", "--metadata", "up-format=webp")
    assert not (photos / "a.png").exists()
    enlarger.output(f"{prefix}a.png.webp")
    shell("aws", "s3", "mv", f"s3://uploads/{prefix}a.png", f"s3://uploads/{prefix}b.png")
    enlarger.output(f"{prefix}b.png.webp")
    assert keys(enlarger, "uploads", prefix) == ["b.png"]
    shell("aws", "s3", "rm", f"s3://uploads/{prefix}", "--recursive")
    shell("aws", "s3", "rm", f"s3://outputs/{prefix}", "--recursive")
    assert keys(enlarger, "uploads", prefix) == keys(enlarger, "outputs", prefix) == []


@pytest.mark.parametrize(
    "remove",
    [
        ("aws", "s3", "rm", "s3://uploads/{}"),
        ("rclone", "deletefile", "store:uploads/{}"),
        ("s3cmd", "del", "s3://uploads/{}"),
    ],
)
def test_an_upload_that_is_removed_cancels_its_queued_job(
    enlarger: Deployment, shell: Shell, remove: tuple[str, ...]
) -> None:
    key = f"removed/@x2,m-lanczos/{remove[0]}.png"
    lane = "/v1/admin/lanes/interactive"
    enlarger.http.post(f"{lane}/pause", json={"seconds": 60, "reason": "a test"}).raise_for_status()
    try:
        enlarger.s3.put_object(Bucket="uploads", Key=key, Body=PICTURE)
        eventually(lambda: enlarger.http.get("/v1/jobs", params={"key": key}).json()["items"] or None, what="the job")
        shell(*(word.format(key) for word in remove))
        job = enlarger.job_of(key)
    finally:
        enlarger.http.post(f"{lane}/resume").raise_for_status()
    assert (job["status"], job["status_reason"]) == ("canceled", "upload_deleted")


LEGAL = {
    "accents, composed and not": "ü u\u0308 ñ/日本語/😀.png",
    "what URLs escape": "a+b c%20d%2Fe%/f?g#h&i=j;k:l@m$n,o.png",
    "what shells and JSON escape": "quote\"back\\slash'tick`$HOME|<>*.png",
    "control characters": "tab\tline\nend\x7f.png",
    "a name of 255 bytes": "n" * 251 + ".png",
    "1024 bytes in all": "/".join(["k" * 204] * 4 + ["k" * 200 + ".png"]),
}


@pytest.mark.parametrize("what", LEGAL)
def test_every_legal_key_comes_back_under_its_own_name(enlarger: Deployment, what: str) -> None:
    key = LEGAL[what]
    wishes = {"up-scale": "2", "up-model": "lanczos"}
    enlarger.s3.put_object(Bucket="uploads", Key=key, Body=PICTURE, Metadata=wishes)
    assert opened(enlarger.output(key)).shape == (48, 64, 3)
    assert enlarger.job_of(key)["outputs"][0]["key"] == key


def test_a_failure_whose_error_file_has_too_long_a_name_still_ends_its_job(enlarger: Deployment) -> None:
    key = "bad-" + "n" * 247 + ".png"
    enlarger.s3.put_object(Bucket="uploads", Key=key, Body=b"no picture")
    job = enlarger.job_of(key)
    assert (job["status"], job["error"]["code"]) == ("failed", "format_unsupported")
    assert keys(enlarger, "outputs", key) == []


def test_the_same_bytes_again_are_not_worked_on_again(enlarger: Deployment) -> None:
    key = "same/@x2,m-lanczos/a.png"
    enlarger.s3.put_object(Bucket="uploads", Key=key, Body=PICTURE)
    first = enlarger.job_of(key)
    enlarger.s3.put_object(Bucket="uploads", Key=key, Body=PICTURE)
    eventually(lambda: enlarger.job_of(key)["id"] != first["id"], what="the second job")
    second = enlarger.job_of(key)
    assert (second["status"], second["notes"], first["notes"]) == ("succeeded", ["output_reused"], [])
    assert second["outputs"] == first["outputs"]
    stamps = enlarger.s3.head_object(Bucket="outputs", Key=key)["Metadata"]
    assert (stamps["up-job"], stamps["up-source-sequencer"]) == (second["id"], second["source"]["sequencer"])


def test_of_three_uploads_of_a_key_the_last_one_wins_though_the_first_had_its_bytes(enlarger: Deployment) -> None:
    """PUT A, B, A: whether the jobs were canceled or worked on, the output is of the third upload."""
    key = "aba/@x2,m-lanczos/a.png"
    other = encoded(photograph(20, 20), "PNG")
    for body in (PICTURE, other, PICTURE):
        enlarger.s3.put_object(Bucket="uploads", Key=key, Body=body)
    (present,) = enlarger.s3.list_objects_v2(Bucket="uploads", Prefix=key)["Contents"]
    written_ms = round(present["LastModified"].timestamp() * 1000)

    def ended() -> dict[str, Any] | None:
        items = enlarger.http.get("/v1/jobs", params={"key": key}).json()["items"]
        thirds = [item for item in items if int(item["source"]["sequencer"], 16) // 10**6 >= written_ms]
        return thirds[0] if thirds and all(item["completed_at"] for item in items) else None

    newest = eventually(ended, what="the end of all jobs of the key")
    assert newest["status"] == "succeeded"
    stamps = enlarger.s3.head_object(Bucket="outputs", Key=key)["Metadata"]
    assert (stamps["up-job"], stamps["up-source-sequencer"]) == (newest["id"], newest["source"]["sequencer"])
    assert stamps["up-source-etag"] == present["ETag"].strip('"')
    assert opened(enlarger.output(key)).shape == (48, 64, 3)


def test_two_uploads_never_share_an_output(enlarger: Deployment) -> None:
    wishes = {"up-scale": "2", "up-model": "lanczos", "up-format": "webp"}
    enlarger.s3.put_object(Bucket="uploads", Key="two/a.jpg", Body=PICTURE, Metadata=wishes)
    first = enlarger.output("two/a.jpg.webp")
    enlarger.s3.put_object(Bucket="uploads", Key="two/a.jpg.webp", Body=PICTURE, Metadata=wishes)
    assert json.loads(enlarger.output("two/a.jpg.webp.error.json"))["code"] == "output_conflict"
    assert enlarger.output("two/a.jpg.webp") == first


def test_a_preset_holds_below_its_prefix(enlarger: Deployment) -> None:
    assert enlarger.run("enlarger", "prefixes", "set", "bound/", "art").returncode == 0
    key = "bound/deep/a.png"
    wishes = {"up-scale": "2", "up-model": "lanczos"}
    enlarger.s3.put_object(Bucket="uploads", Key=key, Body=PICTURE, Metadata=wishes)
    options = enlarger.job_of(key)["options"]
    assert (options["effective"]["preset"], options["origin"]["preset"]) == ("art", "prefix")
    assert enlarger.run("enlarger", "prefixes", "unset", "bound/").returncode == 0


def test_a_home_is_all_that_its_credentials_open(enlarger: Deployment, tmp_path: Path) -> None:
    """The lines that the command prints set up `aws` as they stand; what they open is the home and nothing else."""
    before = {one["access_key"] for one in listed(enlarger)}
    made = enlarger.run("enlarger", "s3", "credentials", "create", "--user", "alice")
    assert made.returncode == 0, made.stderr
    home = tmp_path / "alice"
    home.mkdir()
    alice = Shell(home, {})
    alice("bash", "-euo", "pipefail", "-c", made.stdout.replace("aws --profile", "true --profile"))
    photos = tree(tmp_path / "photos", "a.png", "deep/b.png")

    def aws(*command: str) -> subprocess.CompletedProcess[str]:
        return alice.attempt("aws", "--profile", "enlarger-alice", "s3", *command)

    uploads, outputs = "s3://uploads/~alice/@x2,m-lanczos/", "s3://outputs/~alice/@x2,m-lanczos/"
    assert aws("sync", str(photos), uploads).returncode == 0
    for name in ("a.png", "deep/b.png"):
        enlarger.output(f"~alice/@x2,m-lanczos/{name}")
    assert aws("sync", outputs, str(tmp_path / "back")).returncode == 0
    assert opened((tmp_path / "back" / "deep" / "b.png").read_bytes()).shape == (48, 64, 3)
    enlarger.s3.put_object(Bucket="uploads", Key="~bob/.a.png", Body=PICTURE)
    picture = str(photos / "a.png")
    for refused in (
        ("cp", picture, "s3://uploads/~bob/a.png"),
        ("cp", picture, "s3://uploads/a.png"),
        ("cp", picture, "s3://outputs/~alice/a.png"),
        ("cp", "s3://uploads/~bob/.a.png", str(tmp_path / "stolen")),
        ("ls", "s3://uploads/"),
        ("ls", "s3://uploads/~bob/"),
        ("mb", "s3://mine"),
        ("rb", "s3://uploads"),
    ):
        done = aws(*refused)
        assert done.returncode != 0, refused
        assert "AccessDenied" in done.stderr or "403" in done.stderr, (refused, done.stderr)
    assert not {"~bob/a.png", "a.png"} & set(keys(enlarger, "uploads", ""))
    assert aws("rm", uploads, "--recursive").returncode == 0
    assert aws("rm", outputs, "--recursive").returncode == 0
    (access_key,) = {one["access_key"] for one in listed(enlarger)} - before
    assert enlarger.run("enlarger", "s3", "credentials", "revoke", access_key).returncode == 0
    assert aws("ls", uploads).returncode != 0


def listed(enlarger: Deployment) -> list[dict[str, Any]]:
    done = enlarger.run("enlarger", "s3", "credentials", "ls", "--json")
    items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return items
