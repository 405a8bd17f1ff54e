"""How busy this machine is, as Linux tells it (proc(5))."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Machine:
    """Shares in percent, sizes in bytes."""

    cpu_percent: float
    memory_percent: float
    memory_available_bytes: int
    disk_percent: float
    disk_free_bytes: int
    load_average: tuple[float, float, float]


class Gauge:
    """Reads the machine; the share of the processors is that since the last reading, at first since the start.

    Args:
        proc: Where the kernel's figures are.
        disk: A folder of the disk that is meant.
    """

    def __init__(self, proc: Path = Path("/proc"), disk: Path = Path("/")) -> None:
        self._proc = proc
        self._disk = disk
        self._last = (0, 0)
        self._cpu_percent = 0.0

    def read(self) -> Machine:
        """The figures of now."""
        total, free = self._memory()
        disk = shutil.disk_usage(self._disk)
        return Machine(
            cpu_percent=self._cpu(),
            memory_percent=round(100 * (1 - free / total), 1),
            memory_available_bytes=free,
            disk_percent=round(100 * disk.used / disk.total, 1),
            disk_free_bytes=disk.free,
            load_average=os.getloadavg(),
        )

    def _cpu(self) -> float:
        """Two readings within one tick of the kernel's clock tell the same."""
        ticks = [int(word) for word in (self._proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        total, idle = sum(ticks), ticks[3] + ticks[4]
        passed = total - self._last[0]
        if passed > 0:
            self._cpu_percent = round(100 * (1 - (idle - self._last[1]) / passed), 1)
            self._last = total, idle
        return self._cpu_percent

    def _memory(self) -> tuple[int, int]:
        lines = dict(line.split(":", 1) for line in (self._proc / "meminfo").read_text().splitlines())
        return tuple(int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))  # type: ignore[return-value]
