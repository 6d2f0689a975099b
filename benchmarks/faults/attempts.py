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

from .places import PARTS, Place

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
    """A build that is running, and what it has said so far; `beside` are other commands that were run meanwhile."""

    def __init__(self, place: Place, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.place = place
        self.lines: list[str] = []
        self.beside: list[subprocess.CompletedProcess[str]] = []
        self.process = subprocess.Popen(
            command,
            env={**place.environment, "PYTHONFAULTHANDLER": "1", **environment},
            cwd=place.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def flow(self) -> int:
        """The process that the command is, also in a container. Raises `TooLateError` where it is gone."""
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            if re.match(r"\S*python\S* -m flows\.cli ", command_line(pid)):
                return pid
        raise TooLateError

    @property
    def tracebacks(self) -> int:
        """In all that was said, by it and beside it."""
        told = [*self.lines, *(line for each in self.beside for line in f"{each.stdout}\n{each.stderr}".splitlines())]
        return sum(line.startswith("Traceback") for line in told)

    @property
    def untold(self) -> int:
        """How many commands ended with an error and no line that says which (`unshare` speaks for a killed one)."""
        ended = [
            (self.process.returncode, self.lines),
            *((each.returncode, each.stderr.splitlines()) for each in self.beside),
        ]
        return sum(
            status is not None and status > 0 and not any(line.startswith(("voxdata", "unshare:")) for line in lines)
            for status, lines in ended
        )

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
        """Whether it ends within the limit; else it says where it is, and is killed with all that it started."""
        try:
            self.process.wait(limit_s)
            self._reader.join(5)
            return True
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, TooLateError):
                os.kill(self.flow, signal.SIGABRT)  # faulthandler prints the stacks of all threads
                self._reader.join(5)
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
    """Something that may happen to a build. `does` is done to it at a drawn moment.

    `before` is done to its place first; `environment` and `settings` are those of the first run alone. `always` is the
    environment of every run, and of the undisturbed build that it is compared with. `needs` is what a machine must
    allow (`machine.lacking`).
    """

    name: str
    where: Sequence[str]
    does: Callable[[Running], None]
    before: Callable[[Place], None] = field(default=lambda place: None)
    environment: Callable[[Place], Mapping[str, str]] = field(default=lambda place: {})
    settings: Sequence[str] = ()
    always: Mapping[str, str] = field(default_factory=dict)
    moments: Sequence[str] = MOMENTS
    needs: str = ""


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
    untold: int
    seconds: float


def attempt(
    fault: Fault, place: Place, where: str, point: int, *, seed: int, expected: Mapping[str, str], limit_s: float
) -> Outcome:
    """Build, let the fault happen at the moment that seed and point draw, mend everything, build again, and compare."""
    draw = random.Random(f"{seed}/{fault.name}/{where}/{point}")
    moment, delay_s = draw.choice(fault.moments), draw.uniform(0.0, DELAY_S)
    began = time.monotonic()
    fault.before(place)
    running = Running(place, place.command_with(*fault.settings), {**fault.always, **fault.environment(place)})
    runs = [running]
    verdict, found = _disturbed(fault, running, moment, delay_s, limit_s)
    another = bool(fault.settings) and verdict == "too late"  # the version of what the source held before it grew
    if not running.ended(limit_s):
        verdict = "hung"
    elif (
        not another and running.process.returncode == 0 and (differing := _differing(fault, place.content(), expected))
    ):
        verdict, found = "lost", f"it says that it is done, and these differ: {differing}"
    place.heal()
    if verdict == "survived":
        runs.append(Running(place, place.command, fault.always))
        verdict, found = _finished(fault, runs[-1], expected, limit_s)
    if verdict in ("lost", "hung") or any(run.tracebacks or run.untold for run in runs):
        _keep(place, runs)
    return Outcome(
        fault=fault.name,
        where=where,
        point=point,
        moment=f"{moment.partition(':')[0]} + {delay_s:.1f} s",
        verdict=verdict,
        status=running.process.returncode,
        said=(found or _said(running.lines)).replace(str(place.folder), "…")[:300],
        tracebacks=sum(run.tracebacks for run in runs),
        untold=sum(run.untold for run in runs),
        seconds=time.monotonic() - began,
    )


def _disturbed(fault: Fault, running: Running, moment: str, delay_s: float, limit_s: float) -> tuple[str, str]:
    """Let the fault happen when its moment comes: a verdict so far, and why."""
    try:
        running.wait_for(moment, limit_s)
        time.sleep(delay_s)
        fault.does(running)
    except (TooLateError, ProcessLookupError):
        return "too late", ""
    except subprocess.TimeoutExpired as error:
        return "hung", f"beside it: {error}"
    return "survived", ""


def _finished(fault: Fault, again: Running, expected: Mapping[str, str], limit_s: float) -> tuple[str, str]:
    """Whether the same command, once more, leaves what an undisturbed one does: a verdict, and what is wrong."""
    if not again.ended(limit_s):
        return "hung", "the rerun"
    if again.process.returncode != 0:
        return "lost", f"the rerun ends with {again.process.returncode}: {again.lines[-1:]}"
    if differing := _differing(fault, again.place.content(), expected):
        return "lost", f"after the rerun these differ: {differing}"
    return "survived", ""


def _said(lines: Sequence[str]) -> str:
    told = [line for line in lines if line.strip()]
    return next((line for line in reversed(told) if line.startswith("voxdata")), next(reversed(told), ""))


def _keep(place: Place, runs: Sequence[Running]) -> None:
    """Leave what was said where somebody can read it, as long as the benchmark's folder is there."""
    for number, run in enumerate(runs):
        beside = [f"beside: {each.stdout}\n{each.stderr}" for each in run.beside]
        (place.folder / f"run-{number}.log").write_text("\n".join([*run.lines, *beside]))


def _differing(fault: Fault, found: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """The names of what differs, "" where nothing does; work that was cut otherwise lies in other parts."""
    keys = sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key))
    return ", ".join(key for key in keys if not (fault.settings and key.endswith(PARTS)))


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
