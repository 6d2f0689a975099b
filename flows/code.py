"""Which code is running: the version, and in a checkout the commit."""

from __future__ import annotations

import functools
import subprocess
from importlib.metadata import version
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


@functools.cache
def code_version() -> str:
    """`0.1.0`, in a checkout `0.1.0+g<commit>`, with `.changed` where tracked files differ from that commit."""
    try:
        if _git("rev-parse", "--show-toplevel") != str(CHECKOUT):
            return version("voxdata")
        changed = ".changed" if _git("status", "--porcelain", "--untracked-files=no") else ""
        return f"{version('voxdata')}+g{_git('rev-parse', 'HEAD')}{changed}"
    except (OSError, subprocess.SubprocessError):
        return version("voxdata")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(CHECKOUT), *arguments], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()
