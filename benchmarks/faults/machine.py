"""What this machine lets a benchmark do to it: namespaces of processes and mounts, small disks, clocks set ahead."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

AHEAD_S = 600
DISK = "64m"
CLOCK = f"""
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now) {{
    int status = syscall(SYS_clock_gettime, id, now);
    if (status == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += {AHEAD_S};
    return status;
}}

int gettimeofday(struct timeval *now, void *zone) {{
    struct timespec precise;
    int status = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return status;
}}

time_t time(time_t *told) {{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (told) *told = precise.tv_sec;
    return precise.tv_sec;
}}
"""


@cache
def lacking() -> tuple[str, ...]:
    """What cannot be done here: `namespaces`, `disks`, `clocks`."""
    found = []
    if not _succeeds(elsewhere(["true"])):
        found.append("namespaces")
    if not _succeeds(hiding("/mnt", ["true"])):
        found.append("disks")
    if shutil.which("cc") is None:
        found.append("clocks")
    return tuple(found)


def elsewhere(command: Sequence[str]) -> list[str]:
    """The command as process 1 of a namespace of process numbers of its own, as in a container."""
    return ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *command]


def hiding(folder: str, command: Sequence[str]) -> list[str]:
    """The command on a machine where an empty disk is mounted over a folder."""
    script = 'mount -t tmpfs none "$0" && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, folder, *command]


def small_disk(folder: Path) -> None:
    """Mount a disk of its own at a folder, which `take_disk` takes away."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave no byte of a small disk."""
    with suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(bytes(1 << 16)):
            pass


def take_disk(folder: Path) -> None:
    """Unmount it, whoever still looks at it."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def clock_ahead(folder: Path) -> dict[str, str]:
    """The environment of a process whose clock is ten minutes ahead, and whose pauses are as long as ever."""
    library = folder / "clock.so"
    if not library.exists():
        command = ["cc", "-shared", "-fPIC", "-x", "c", "-o", str(library), "-"]
        subprocess.run(command, input=CLOCK, text=True, check=True)
    return {"LD_PRELOAD": str(library)}


def _succeeds(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
