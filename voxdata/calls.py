"""`voxdata.build`, `voxdata.train`, `voxdata.imagine`: the commands of these names, called from Python.

Each runs in a process of its own, started with `python -P`: nothing of ours but `voxdata` is imported into the
caller's process, a script needs no `if __name__ == "__main__"`, and what a training takes is given back with its
process. What the command says on standard error comes through as it is said, but for the error that ends it, which is
raised. It ends with the caller's process, and at Ctrl-C by itself.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from voxdata.format.errors import RecipeError, SourceError, VoxdataError, brief, quoted
from voxdata.format.json_text import read_object
from voxdata.format.temporary import temporary_folder

if TYPE_CHECKING:
    from PIL.Image import Image

    from voxdata.dataset.opened import Dataset

Settings = Mapping[str, Any]
NOBODY = "a plausible face for this voice; it shows no real person and identifies nobody"
LONGEST_WORD = 128 << 10  # of Linux
INTERRUPTED = (75, 130)  # exit statuses of a training that stopped at a checkpoint, and of any other command


@dataclass(frozen=True, kw_only=True)
class Face:
    """A plausible face for a voice: it shows no real person and identifies nobody.

    `png` are the bytes of the picture, `step` and `embedder` those of the run that made it.
    """

    png: bytes
    step: int
    embedder: str
    note: str = NOBODY

    @property
    def image(self) -> Image:
        """The face as a PIL image, RGB, S x S px."""
        from PIL import Image

        return Image.open(io.BytesIO(self.png)).convert("RGB")

    def _repr_html_(self) -> str:
        from voxdata.dataset.html import figure, image

        return figure([image(self.png, self.note, "png")], self.note)


def build(recipe: str, root: str | Path, settings: Settings | None = None, *, prefect: bool = False) -> Dataset:
    """Build or update the dataset under `root` and open the version that was published.

    `recipe` is a shipped recipe's name or a .yaml file, `settings` are what `--set` takes, with the units that their
    names end in: `{"faces.pose.max_angle_deg": 8}`. With `prefect` it runs as a Prefect flow. Raises `RecipeError`,
    `SourceError`, `BuildStoppedError` and whatever else ends the command.
    """
    import voxdata

    options = [*_options({"root": root, "prefect": prefect}), *_sets(settings)]
    return voxdata.open(root, _answer(["build", *options, "--json", "--", str(recipe)])["snapshot"])


def train(
    system: str, root: str | Path, settings: Settings | None = None, *, run: str | Path | None = None, **options: Any
) -> Path:
    """Train a system (`sf2f`, `avp_gan`, …) on a version, or resume its run; the run's folder.

    `options` are those of `voxdata train`: preset, snapshot, front_end, embedder, seconds, steps, seed, device, …;
    `settings` are keys of run.json or numbers of the preset. Raises `VoxdataError` with what ended the training,
    `KeyboardInterrupt` where it was interrupted: the same call resumes it.
    """
    words = [*_options({**options, "root": root, "run": run}), *_sets(settings)]
    return Path(_answer(["train", *words, "--json", "--", system])["run"])


def imagine(voice: str | Path, run: str | Path, root: str | Path | None = None, *, model: str | None = None) -> Face:
    """A plausible face for the speech in a file: it shows no real person and identifies nobody.

    `run` is a run's folder, or its name, champion or challenger in `root`; `model` says whose, where several have one.
    Raises `SourceError`, `VoxdataError`.
    """
    named = _options({"run": run, "root": root, "model": model})
    read, write = os.pipe()
    words = ["imagine", *named, f"--out=/dev/fd/{write}", "--json", "--", str(voice)]
    with open(read, "rb") as pipe:
        picture = _Reading(pipe)
        try:
            said = _answer(words, write)
        finally:
            os.close(write)
            png = picture.whole()
    return Face(png=png, step=said["step"], embedder=said["embedder"])


def _sets(settings: Settings | None) -> list[str]:
    if not isinstance(settings, Mapping | None):
        raise RecipeError(
            f"settings = {quoted(settings)}: a mapping is needed, such as {{'faces.pose.max_angle_deg': 8}}"
        )
    return [f"--set={key}={_written(key, value)}" for key, value in (settings or {}).items()]


def _written(key: str, value: Any) -> str:
    """A value of Python as `--set` reads it. Raises `RecipeError`."""
    try:
        plain = _plain(value) if isinstance(value, os.PathLike) else value
        return plain if isinstance(plain, str) else json.dumps(plain, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise RecipeError(
            f"settings: {brief(key)} = {quoted(value)} cannot be written as JSON ({brief(error)}); give texts, paths, "
            "numbers, None, and lists and dictionaries of them"
        ) from None


def _plain(value: Any) -> Any:
    """What JSON has for a path, and for a number of NumPy, which need not be imported here."""
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    raise TypeError(f"it holds {type(value).__name__}")


def _options(options: Mapping[str, Any]) -> list[str]:
    words = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        several = value if isinstance(value, (list, tuple)) else [value]
        given = [each for each in several if each is not None and each is not False]
        words += [option if each is True else f"{option}={each}" for each in given]
    return words


def _answer(words: Sequence[str], *passed: int) -> dict[str, Any]:
    """The object that a command with `--json` prints. Raises as `_called`."""
    printed = _called(words, *passed)
    try:
        return read_object(printed)
    except ValueError:
        said = brief(printed) or "nothing"
        raise VoxdataError(
            f"voxdata {words[0]} printed no result but: {said}; leave out options such as help"
        ) from None


def _called(called: Sequence[str], *passed: int) -> str:
    """What a command prints. Raises its error; `KeyboardInterrupt` where it was interrupted."""
    for word in called:
        _check_word(word)
    with temporary_folder() as folder:
        place = folder / "error.json"
        command = [sys.executable, "-P", "-m", "flows.watchdog", str(os.getpid()), "flows.called", str(place), *called]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=passed
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            printed, said = _Reading(process.stdout), _Reading(process.stderr, sys.stderr)
            status = _ended(process)
        if status == 0:
            return str(printed.whole())
        if place.exists():
            raise _raised(read_object(place.read_bytes()))
    if status in INTERRUPTED:
        raise KeyboardInterrupt
    lines = str(said.whole()).strip().splitlines()
    raise VoxdataError(lines[-1] if lines else f"voxdata {called[0]} ended with status {status}")


def _check_word(word: str) -> None:
    """Raises `RecipeError` for what a process cannot be given."""
    try:
        size = len(os.fsencode(word))
    except UnicodeEncodeError:
        raise RecipeError(f"{quoted(word)} is no Unicode text; leave out what is half a letter") from None
    if "\0" in word:
        raise RecipeError(f"{quoted(word)} has a NUL, which no command can be given; leave it out")
    if size >= LONGEST_WORD:
        raise RecipeError(
            f"{quoted(word, 60)} has {size} bytes, a command can be given {LONGEST_WORD - 1} in one word; write it "
            "into a recipe file and give its path"
        )


def _ended(process: subprocess.Popen[str]) -> int:
    """The exit status. Ctrl-C reaches the command, too, which ends by itself, a training at a checkpoint."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _raised(said: Mapping[str, Any]) -> VoxdataError:
    """The error by the name of its class, or of the nearest one above it that there is here."""
    known = {each.__name__: each for each in _tree(VoxdataError)}
    kind = next((known[name] for name in said["classes"] if name in known), SourceError)
    error = VoxdataError.__new__(kind)
    VoxdataError.__init__(error, said["message"])
    return error


def _tree(kind: type[VoxdataError]) -> Iterable[type[VoxdataError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _tree(below)


class _Reading:
    """Reads a stream to its end, in a thread, and hands on what comes."""

    def __init__(self, stream: IO[Any], onto: IO[str] | None = None) -> None:
        self._parts: list[Any] = []
        self._thread = threading.Thread(target=self._read, args=(stream, onto), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[Any], onto: IO[str] | None) -> None:
        for line in stream:
            self._parts.append(line)
            if onto is not None:
                onto.write(line)
                onto.flush()

    def whole(self) -> Any:
        """All of it, once the other end is closed."""
        self._thread.join()
        return (b"" if self._parts and isinstance(self._parts[0], bytes) else "").join(self._parts)
