"""Start a command that the kernel kills when its parent dies. A script: `tether.py PARENT_PID COMMAND ARGUMENT...`.

A supervisor that is killed outright cannot stop its children; this way none of them outlives it.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent: int, argv: list[str]) -> None:
    """Become *argv*, tied to the process *parent*."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the tie was made
        sys.exit(1)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - the supervisor's own argument list, no shell wanted
    except OSError as error:
        sys.exit(f"cannot start {argv[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
