"""What Tab offers: names that the service knows, asked once and for no longer than a person waits for a letter."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

import typer

from enlarger.client import Client
from enlarger.command.session import Session
from enlarger.command.settings import find_settings
from enlarger.command.show import printable, when
from enlarger.errors import EnlargerError
from enlarger.models import TERMINAL, Job

#: So many jobs are offered, the newest.
OFFERED: Final = 20
LANES: Final = ("interactive", "bulk")
STATUSES: Final = ("awaiting_upload", "queued", "processing", "publishing", *sorted(TERMINAL))
FORMATS: Final = ("jpg", "png", "webp", "avif", "tiff")

#: A name and what to say of it.
Offer = tuple[str, str]
Completer = Callable[[typer.Context, str], list[Offer]]


def _asked(ask: Callable[[Client], Iterable[Offer]]) -> Completer:
    """Offers what *ask* tells of the service; nothing where it is away, slow, or not set up."""

    def complete(ctx: typer.Context, incomplete: str) -> list[Offer]:
        session: Session = ctx.obj
        try:
            settings = find_settings(session.environ, session.folder)
            with session.glance(settings.url, settings.token) as client:
                return [
                    (name, printable(said))
                    for name, said in ask(client)
                    if name.startswith(incomplete) and name.isprintable()
                ]
        except (EnlargerError, OSError, UnicodeDecodeError):
            return []

    return complete


def _jobs(wanted: Callable[[Job], bool]) -> Callable[[Client], Iterator[Offer]]:
    def ask(client: Client) -> Iterator[Offer]:
        recent = islice(client.jobs(), OFFERED)
        return ((job.id, f"{job.status} {job.source.key}") for job in recent if wanted(job))

    return ask


models: Final = _asked(lambda client: ((one.name, one.architecture or "") for one in client.models() if one.available))
jobs: Final = _asked(_jobs(lambda _: True))
open_jobs: Final = _asked(_jobs(lambda job: not job.terminal))
retryable_jobs: Final = _asked(_jobs(lambda job: job.status in {"failed", "canceled", "expired"}))
webhooks: Final = _asked(lambda client: ((one.id, one.url) for one in client.webhooks()))
tokens: Final = _asked(lambda client: ((one.id, one.name) for one in client.tokens()))
letters: Final = _asked(lambda client: ((one.id, when(one.written_at)) for one in islice(client.letters(), OFFERED)))
access_keys: Final = _asked(lambda client: ((one.access_key, one.user) for one in client.credentials()))
prefixes: Final = _asked(lambda client: ((one.prefix, one.preset) for one in client.prefixes() if one.prefix))


def _fixed(words: Iterable[str]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


lanes: Final = _fixed(LANES)
statuses: Final = _fixed(STATUSES)
formats: Final = _fixed(FORMATS)
