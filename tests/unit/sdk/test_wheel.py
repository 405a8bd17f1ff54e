"""What is published alone: a wheel of the SDK, where nothing of the services is installed."""

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from shutil import copytree

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CLONE = Path(__file__).parents[3]
IMPORT_ALL = """
import importlib, pkgutil, sys
import enlarger
names = [module.name for module in pkgutil.walk_packages(enlarger.__path__, "enlarger.")]
for name in names:
    if name not in sys.argv[1:]:
        importlib.import_module(name)
print(len(names), enlarger.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, as the build leaves things in its folder."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md"):
        (folder / name).write_bytes((CLONE / name).read_bytes())
    copytree(CLONE / "enlarger", folder / "enlarger")
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    (built,) = (folder / "dist").iterdir()
    return built


def needed(requirement: Requirement, seen: set[str]) -> Iterator[str]:
    """Names of the distributions that *requirement* brings, with their own."""
    if canonicalize_name(requirement.name) in seen:
        return
    seen.add(canonicalize_name(requirement.name))
    yield requirement.name
    for line in distribution(requirement.name).requires or ():
        further = Requirement(line)
        extras = requirement.extras or {""}
        if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras):
            yield from needed(further, seen)


def installed(wheel: Path, folder: Path, extra: str = "") -> Path:
    """The interpreter of an environment with the wheel and what it asks for, and nothing else."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
        (metadata,) = [name for name in packed.namelist() if name.endswith("METADATA")]
        lines = packed.read(metadata).decode().splitlines()
    asked = [Requirement(line.partition(": ")[2]) for line in lines if line.startswith("Requires-Dist: ")]
    seen: set[str] = set()
    for requirement in asked:
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            for name in needed(requirement, seen):
                link(name, site)
    return folder / "bin" / "python"


def link(name: str, site: Path) -> None:
    """Let an installed distribution be seen in *site* too."""
    found = distribution(name)
    for top in {file.parts[0] for file in found.files or () if file.parts[0] not in {"..", "__pycache__"}}:
        if not (site / top).exists():
            (site / top).symlink_to(Path(str(found.locate_file(top))).resolve())


def run(python: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-I", *args], capture_output=True, text=True, timeout=60, check=False, env={"HOME": os.devnull}
    )


def test_the_wheel_holds_the_sdk_and_nothing_of_the_services(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"enlarger"}
    assert "enlarger/py.typed" in names
    assert {path.name for path in (CLONE / "enlarger").glob("*.py")} <= {name.rpartition("/")[2] for name in names}


def test_it_imports_and_runs_where_only_its_own_dependencies_are(wheel: Path, tmp_path: Path) -> None:
    python = installed(wheel, tmp_path / "clean")
    done = run(python, "-c", IMPORT_ALL, "enlarger.webhooks")
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout
    helped = run(python, "-c", "from enlarger.command import main; main()", "upscale", "--help")
    assert helped.returncode == 0, helped.stderr
    for service in ("pipeline", "api", "numpy", "pymongo", "standardwebhooks"):
        assert "ModuleNotFoundError" in run(python, "-c", f"import {service}").stderr, service


def test_receivers_get_by_with_the_extra_for_them(wheel: Path, tmp_path: Path) -> None:
    done = run(installed(wheel, tmp_path / "clean", "webhooks"), "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
