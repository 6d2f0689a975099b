"""One build to which one thing happens at one moment: whether it ends, what it says, what the same command finishes.

survived   the command, or the same once more, gives the bytes of an undisturbed build
lost       a build that says it is done has other bytes, or the rerun fails
hung       the command or its rerun goes on for longer than the limit
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from .places import Place

MOMENTS = (
    "crawl.find: ",
    "faces.measure: .*to do",
    "faces.render: .*to do",
    "speech.measure: .*to do",
    "speech.measure: .*done",
)
STEP_S = 0.1
DELAY_S = 2.0


class TooLateError(Exception):
    """The build was done, or had ended, before the moment came."""


class Running:
    """A build that is running, and what it has said so far."""

    def __init__(self, place: Place, environment: Mapping[str, str]) -> None:
        self.place = place
        self.environment = {**place.environment, **environment}
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            place.command,
            env=self.environment,
            cwd=place.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, words: str, limit_s: float) -> None:
        """Until it has said so. Raises `TooLateError` where it ends before."""
        until = time.monotonic() + limit_s
        while not any(re.search(words, line) for line in self.lines):
            if self.process.poll() is not None or time.monotonic() > until:
                raise TooLateError(words)
            time.sleep(STEP_S / 2)

    def processes(self, words: str, limit_s: float = 240.0) -> list[int]:
        """Its descendants with such a command line, as soon as there is one. Raises `TooLateError`."""
        until = time.monotonic() + limit_s
        while not (found := [pid for pid in descendants(self.process.pid) if re.search(words, command_line(pid))]):
            if self.process.poll() is not None or time.monotonic() > until:
                raise TooLateError(words)
            time.sleep(STEP_S)
        return found

    def ended(self, limit_s: float) -> bool:
        """Whether it ends within the limit; else it is killed with all that it started."""
        try:
            self.process.wait(limit_s)
            self._reader.join(5)
            return True
        except subprocess.TimeoutExpired:
            for pid in [*descendants(self.process.pid), self.process.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
            return False

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that may happen to a build. `does` is done to it at a drawn moment; `until` after which the rest is."""

    name: str
    where: Sequence[str]
    does: Callable[[Running], None]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an attempt. `status` and `said` are of the first run: its exit status, its last line."""

    fault: str
    where: str
    point: int
    moment: str
    verdict: str
    status: int | None
    said: str
    tracebacks: int
    seconds: float


def attempt(
    fault: Fault, place: Place, where: str, point: int, *, seed: int, expected: Mapping[str, str], limit_s: float
) -> Outcome:
    """Build, let the fault happen at the moment that seed and point draw, mend everything, build again, and compare."""
    draw = random.Random(f"{seed}/{fault.name}/{where}/{point}")
    moment, delay_s = draw.choice(MOMENTS), draw.uniform(0.0, DELAY_S)
    began = time.monotonic()
    running = Running(place, fault.environment)
    try:
        running.wait_for(moment, limit_s)
        time.sleep(delay_s)
        fault.does(running)
        verdict = "survived"
    except TooLateError:
        verdict = "too late"
    hung = not running.ended(limit_s)
    status = running.process.returncode
    if status == 0 and (differing := _differing(place.content(), expected)):
        verdict = "lost"
        running.lines.append(f"it says that it is done, and these differ: {differing}")
    place.heal()
    if hung:
        verdict = "hung"
    if verdict == "survived":
        again = Running(place, {})
        if not again.ended(limit_s):
            verdict = "hung"
        elif again.process.returncode != 0:
            verdict = "lost"
            running.lines += [f"rerun ends with {again.process.returncode}: {again.lines[-1:]}"]
        elif differing := _differing(place.content(), expected):
            verdict = "lost"
            running.lines.append(f"after the rerun these differ: {differing}")
    return Outcome(
        fault=fault.name,
        where=where,
        point=point,
        moment=f"{moment.partition(':')[0]} + {delay_s:.1f} s",
        verdict=verdict,
        status=status,
        said=next((line for line in reversed(running.lines) if line.strip()), "")[:300],
        tracebacks=sum(line.startswith("Traceback") for line in running.lines),
        seconds=time.monotonic() - began,
    )


def _differing(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    return sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key))


def descendants(pid: int) -> list[int]:
    """Living processes that one has started, and theirs."""
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            state, parent, *_ = Path(f"/proc/{name}/stat").read_text(errors="replace").rpartition(")")[2].split()
            if state != "Z":
                parents[int(name)] = int(parent)
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {pid})


def command_line(pid: int) -> str:
    """The words of a process, "" where it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""
