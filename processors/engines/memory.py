"""How much memory this process may still take: what the machine has left, and what its control group allows."""

from pathlib import Path
from typing import Final

_MEMINFO: Final = Path("/proc/meminfo")
_GROUPS: Final = Path("/sys/fs/cgroup")
# (limit, used, and the key of the page cache that can be dropped in memory.stat) of control groups 2 and 1
_FILES: Final = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)


def free_bytes(meminfo: Path = _MEMINFO, groups: Path = _GROUPS) -> int:
    """Return what can be allocated without swapping or being killed; a container sees its own limit."""
    left = [_entry(meminfo, "MemAvailable:") * 1024]
    for limit, used, stat, droppable in _FILES:
        allowed = _number(groups / limit)
        if allowed is not None:
            left.append(allowed - (_number(groups / used) or 0) + _entry(groups / stat, droppable))
    return max(0, min(left))


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None


def _entry(file: Path, key: str) -> int:
    lines = (line.split() for line in file.read_text().splitlines()) if file.exists() else ()
    return next((int(words[1]) for words in lines if words[0] == key), 0)
