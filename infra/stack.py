"""What runs: the command, environment and readiness of each server and each process of ours."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from infra import binaries
from infra.addresses import ROOT, SERVICES, Addresses
from infra.ports import LOOPBACK
from infra.probes import http_ok, mongo_ok, nats_ok
from infra.secrets import Secrets
from infra.supervisor import Process
from pipeline.topology import DURABLE, FAST, REGION

NATS_CONFIG: Final = Path(__file__).with_name("nats.conf")
CLONE: Final = Path(__file__).parent.parent
#: What every process inherits of our environment; credentials are never in it.
INHERITED: Final = frozenset(
    {
        *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "XDG_CACHE_HOME", "LD_LIBRARY_PATH"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
        *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE"),
    }
)
ANY_ADDRESS: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, never bound
#: Longer than the longest grace of a service: after that it still gives back what it has not finished.
STOP_SECONDS: Final = 45.0
BUS_PORT: Final = 4222
#: Settings of the api under the names that services which it replaces have for them.
DIALECT_SETTINGS: Final = (
    "ENLARGER_TOKENS",
    "VALID_TOKENS",
    "ACCESS_TOKEN_EXPIRE_MINUTES",
    "REFRESH_TOKEN_EXPIRE_DAYS",
)
#: Who has an account at the bus.
BUS_USERS: Final = (ROOT, "minio", *SERVICES)
#: Those that open webhook secrets.
SEALING: Final = ("notifier", "api")
#: Our settings that hold credentials: each service gets its own instead.
PRIVATE: Final = (
    "ENLARGER_PASSWORD_",
    "ENLARGER_TOKEN",
    "ENLARGER_MINIO_URL",
    "ENLARGER_NATS_URL",
    "ENLARGER_MONGO_URL",
)


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the state of one installation lies."""

    root: Path

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.root / "logs"

    def make(self) -> None:
        """Create them, for their owner alone."""
        for name in ("", "logs", "minio", "minio-events", "minio-certs", "nats", "mongo"):
            (self.root / name).mkdir(mode=0o700, parents=True, exist_ok=True)


@dataclass(frozen=True, slots=True)
class Stack:
    """One installation on this machine: its folders, ports, secrets and the servers it uses."""

    folders: Folders
    ports: Mapping[str, int]
    secrets: Secrets
    addresses: Addresses
    #: The environment that we were started in: what of it a process may see is decided here.
    environment: Mapping[str, str]
    #: Servers that a URL setting names: they run already.
    external: frozenset[str] = frozenset()

    def nats(self, program: Path) -> Process:
        """The bus, with the users of `infra/nats.conf`; its figures are told on loopback too, to whoever asks."""
        listen = ("-a", LOOPBACK, "-p", str(self.ports["nats"]), "-m", str(self.ports["nats_monitor"]))
        return Process(
            "nats",
            (str(program), "-c", str(NATS_CONFIG), *listen),
            self._inherited() | nats_environment(self.secrets, str(self.folders.root / "nats")),
            nats_ok(self.addresses.nats),
        )

    def minio(self, program: Path) -> Process:
        """The object store, with both notification targets."""
        root, port = self.folders.root, self.ports["minio"]
        bus = self.addresses.nats if "nats" in self.external else f"nats://{LOOPBACK}:{self.ports['nats']}"
        where = ("--address", f"{LOOPBACK}:{port}", "--certs-dir", str(root / "minio-certs"))
        return Process(
            "minio",
            (str(program), "server", "--quiet", *where, str(root / "minio")),
            self._inherited() | minio_environment(self.secrets, bus, str(root / "minio-events")),
            http_ok(f"http://{LOOPBACK}:{port}/minio/health/cluster"),
        )

    def documents(self, *, auth: bool = True) -> Process:
        """The document server; without *auth* only to make its first user."""
        port = self.ports["mongo"]
        url = self.addresses.mongo if auth else f"mongodb://{LOOPBACK}:{port}"
        argv = binaries.documents_argv(port, self.folders.root / "mongo", auth=auth)
        return Process("mongo", argv, self._inherited(), mongo_ok(url))

    def api_url(self) -> str:
        """Where this machine reaches the API."""
        host = self.environment.get("ENLARGER_API_HOST", LOOPBACK)
        return f"http://{LOOPBACK if host in ANY_ADDRESS else host}:{self.ports['api']}"

    def service(self, name: str, settings: Mapping[str, str] | None = None, *, alias: str | None = None) -> Process:
        """One of our processes, with its own account at each server; *settings* add to its environment.

        A second process of the same kind needs an *alias*, the name that the supervisor and its log know it by.
        """
        usual = {
            "ENLARGER_PUBLIC_URL": self.api_url(),
            "ENLARGER_MODELS_DIR": str(self.folders.root / "models"),
            "ENLARGER_CACHE_DIR": str(self.folders.root / "cache"),
            "ENLARGER_RATE_LIMITS": "off",  # whoever reaches this machine's loopback address is at home
        }
        own = self.addresses.settings_of(name, self.secrets.passwords[name])
        if name in SEALING:
            own["ENLARGER_PASSWORD_WEBHOOKS"] = self.secrets.passwords["webhooks"]
        if name == "api":
            usual |= self._monitor()
            own["ENLARGER_PASSWORD_TENANTS"] = self.secrets.passwords["tenants"]  # it makes the credentials of homes
            own["ENLARGER_PASSWORD_SESSIONS"] = self.secrets.passwords["sessions"]
            own |= {name: self.environment[name] for name in DIALECT_SETTINGS if name in self.environment}
        listen = {"ENLARGER_API_PORT": str(self.ports["api"])} if name == "api" else {}
        environment = (
            self._inherited()
            | usual
            | self._settings()
            | {"PYTHONPATH": str(CLONE)}
            | own
            | listen
            | dict(settings or {})
        )
        ready = http_ok(f"{self.api_url()}/health/ready") if name == "api" else "service.ready"
        argv = (sys.executable, "-m", name)
        return Process(alias or name, argv, environment, ready, start_seconds=120.0, stop_seconds=STOP_SECONDS)

    def _monitor(self) -> dict[str, str]:
        """Where a bus that we started tells its figures."""
        if "nats" in self.external:
            return {}
        return {"ENLARGER_NATS_MONITOR_URL": f"http://{LOOPBACK}:{self.ports['nats_monitor']}"}

    def _inherited(self) -> dict[str, str]:
        return {key: value for key, value in self.environment.items() if key in INHERITED}

    def _settings(self) -> dict[str, str]:
        named = ((key, value) for key, value in self.environment.items() if key.startswith("ENLARGER_"))
        return {key: value for key, value in named if not key.startswith(PRIVATE)}


def nats_environment(secrets: Secrets, store: str) -> dict[str, str]:
    """The variables that `infra/nats.conf` reads, quoted as it asks."""
    passwords = {f"ENLARGER_PASSWORD_{name.upper()}": secrets.passwords[name] for name in BUS_USERS}
    return {key: json.dumps(value) for key, value in (passwords | {"ENLARGER_NATS_STORE": store}).items()}


def minio_environment(secrets: Secrets, bus: str, queue_folder: str) -> dict[str, str]:
    """Root account, region, and two targets: at the answer, FAST has published and DURABLE has the event on disk.

    *bus* is a `nats:` URL; credentials in it are taken, else those of our account `minio`.
    """
    parts = urlsplit(bus)
    host = parts.netloc.rpartition("@")[2]
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    environment = {
        "MINIO_ROOT_USER": ROOT,
        "MINIO_ROOT_PASSWORD": secrets.passwords[ROOT],
        "MINIO_SITE_REGION": REGION,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_API_SYNC_EVENTS": "on",
        "MINIO_SYNC_BOOT": "on",
        "MINIO_NOTIFY_NATS_QUEUE_DIR_DURABLE": queue_folder,
    }
    for target, subject in (("FAST", FAST), ("DURABLE", DURABLE)):
        environment |= {
            f"MINIO_NOTIFY_NATS_ENABLE_{target}": "on",
            f"MINIO_NOTIFY_NATS_ADDRESS_{target}": host if parts.port else f"{host}:{BUS_PORT}",
            f"MINIO_NOTIFY_NATS_SUBJECT_{target}": subject,
            f"MINIO_NOTIFY_NATS_JETSTREAM_{target}": "on",  # exactly "on": any other word means core NATS
            f"MINIO_NOTIFY_NATS_USERNAME_{target}": user or "minio",
            f"MINIO_NOTIFY_NATS_PASSWORD_{target}": password if user else secrets.passwords["minio"],
        }
    return environment
