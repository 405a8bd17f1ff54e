"""Where pictures of a folder go in the bucket, and where their outputs come back to. Prints nothing."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import typer

from enlarger.command.errands import PICTURE_SUFFIXES
from enlarger.errors import EnlargerError

BUCKET: Final = "uploads"
#: Folders that machines make beside pictures; what lies in them is never enlarged.
MACHINES: Final = frozenset({"@eaDir"})


def prefix_of(text: str) -> str:
    """The prefix that `s3://uploads/trip/@x4/`, or `trip/@x4/`, means; with its slash, unless it is the whole bucket.

    Raises:
        typer.BadParameter: It is no folder of the bucket `uploads`.
    """
    scheme, found, rest = text.partition("://")
    bucket, _, path = rest.partition("/") if found else (BUCKET, "", text)
    if found and (scheme.lower(), bucket) != ("s3", BUCKET):
        raise typer.BadParameter(f"{text!r} is not in s3://{BUCKET}/, where pictures go")
    prefix = path if path.endswith("/") or not path else f"{path}/"
    folders = prefix.split("/")[:-1]
    if any(not folder or folder.startswith(".") for folder in folders) or folders[:1] == ["jobs"]:
        raise typer.BadParameter(f"{text!r} is no folder for pictures: write s3://{BUCKET}/trip/@x4/ or trip/@x4/")
    return prefix


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, the prefix that its pictures go below, and the folder that their outputs come back to."""

    folder: Path
    prefix: str
    back: Path | None = None

    def __post_init__(self) -> None:
        """Refuse a folder for outputs that could replace pictures: raises `typer.BadParameter`."""
        if self.back is not None and self.folder.resolve().is_relative_to(self.back.resolve()):
            detail = "is the folder of the pictures, or holds it: an output could replace one; name another"
            raise typer.BadParameter(detail, param_hint="--back")

    def pictures(self, below: Path | None = None) -> Iterator[Path]:
        """Every picture in the folder, or *below* one of its own; hidden ones and outputs are left out."""
        for top, folders, names in os.walk(below or self.folder):
            names.sort()
            folders[:] = sorted(name for name in folders if self.looks_into(Path(top) / name))
            yield from (Path(top) / name for name in names if is_picture(name) and (Path(top) / name).is_file())

    def looks_into(self, folder: Path) -> bool:
        """Whether pictures in *folder*, which is in our folder, are meant."""
        ignored = folder.name.startswith(".") or folder.name in MACHINES
        return not ignored and not (self.back is not None and folder.resolve() == self.back.resolve())

    def holds(self, picture: Path) -> bool:
        """Whether *picture*, which somebody tells of, is one that `pictures` would find."""
        if not picture.is_relative_to(self.folder) or not is_picture(picture.name):
            return False
        between = picture.relative_to(self.folder).parents
        return all(self.looks_into(self.folder / one) for one in between if one.name)

    def key_of(self, picture: Path) -> str:
        """The key of a picture in the folder.

        Raises:
            EnlargerError: `file_unusable`: the name is no UTF-8, as a key must be.
        """
        key = self.prefix + picture.relative_to(self.folder).as_posix()
        try:
            key.encode()
        except UnicodeEncodeError:
            hint = "Rename the file."
            raise EnlargerError("Its name is no UTF-8", code="file_unusable", hint=hint) from None
        return key

    def path_of(self, output_key: str) -> Path:
        """Where the output under *output_key* comes back to.

        Raises:
            EnlargerError: `answer_invalid`: that would be outside the folder for outputs.
        """
        name = PurePosixPath(output_key.removeprefix(self.prefix))
        inside = output_key.startswith(self.prefix) and name.parts and not name.is_absolute()
        if self.back is None or not inside or ".." in name.parts or any(leads_away(part) for part in name.parts):
            detail = f"The output {output_key!r} is not below {self.prefix!r}"
            raise EnlargerError(detail, code="answer_invalid", hint="Check that ENLARGER_URL names your service.")
        return self.back.joinpath(*name.parts)


def is_picture(name: str) -> bool:
    """Whether a file of this name is taken for a picture."""
    return not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES


def leads_away(part: str) -> bool:
    """Whether a system of ours reads more into *part* than a name."""
    return "\0" in part or (os.name == "nt" and any(sign in part for sign in "\\:"))
