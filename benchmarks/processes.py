"""This process and those that it started, as the kernel counts them."""

import os
from pathlib import Path
from typing import Final

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_TIMES: Final = slice(11, 15)  # utime, stime and the same of children that ended, after the name: proc_pid_stat(5)


def family(pid: int) -> list[int]:
    """*pid* and everything that descends from it."""
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += [int(child) for child in (task / "children").read_text().split()]
    return [pid, *(one for child in children for one in family(child))]


def cpu_seconds() -> float:
    """What this process and all that descend from it have taken of the processors so far."""
    ticks = 0
    for pid in family(os.getpid()):
        try:
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile, and is counted by its parent
            continue
        ticks += sum(map(int, after_name[_TIMES]))
    return ticks / _TICKS_PER_SECOND
