"""Where a build runs while something happens to it: a folder of a laptop, of a share, of a Dask cluster."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from voxdata.simulate.corpus import CorpusSettings, write_corpus

from .dask_processes import REPOSITORY, Dask
from .machine import elsewhere, take_disk

CORPUS = CorpusSettings(people=3, photos_per_person=4, clips_per_person=3, seed=3)
HOOKS = Path(__file__).parent / "hooks"
PARTS = ", parts"
SOURCES = ("photos", "wav", "vox1_meta.csv")


class Place(ABC):
    """A place with a root of its own, and the command that builds there. `heal` mends what a fault has broken."""

    def __init__(self, folder: Path, corpus: Path) -> None:
        self.folder = folder
        self.corpus = corpus.with_name(f"{corpus.name}-linked")  # the same for all: tables are named by paths, too
        self.flag = folder / "flag"
        self.corpus.mkdir(exist_ok=True)
        self._whole = corpus
        folder.mkdir(parents=True)
        (folder / "temporary").mkdir()
        self._link()

    @property
    @abstractmethod
    def root(self) -> str:
        """The root's path or url."""

    @property
    def environment(self) -> dict[str, str]:
        """What the command finds in its environment."""
        # Where Python keeps no compiled modules, each of a hundred processes compiles them anew.
        dropped = ("PREFECT_", "AWS_", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join([str(HOOKS), str(REPOSITORY)]),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self.folder / "temporary"),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": "",
            "CHAOS_FLAG": str(self.flag),
            "CHAOS_ROOT": self.root,
        }

    @property
    def command(self) -> list[str]:
        """The same in the first run and in every rerun."""
        return self.command_with()

    def command_with(self, *settings: str) -> list[str]:
        """The same with other settings on top."""
        settings = (
            *(f"sources.photos.path={self.corpus / 'photos'}", f"sources.speech.path={self.corpus / 'wav'}"),
            f"sources.metadata.path={self.corpus / 'vox1_meta.csv'}",
            *("faces.measure.frontal_pitch_deg=0", "faces.pose.max_angle_deg=12", "faces.select.min_per_identity=1"),
            *("splits.val_share=0.2", "splits.test_share=0.3", "work.items_per_part=2", "work.workers=2"),
            *("faces.render.size_px=128", "speech.measure.front_ends=[torch40]"),
            *self.settings,
            *settings,
        )
        words = [part for pair in settings for part in ("--set", pair)]
        return self.started(["build", "voxceleb-folder", *words])

    def started(self, words: Sequence[str]) -> list[str]:
        """How a command of voxdata is run on this root."""
        return [sys.executable, "-m", "flows.cli", *words, "--root", self.root]

    settings: tuple[str, ...] = ()

    @abstractmethod
    def content(self) -> dict[str, str]:
        """Shard, sidecar or snapshot -> SHA-256, of the whole root; nothing else of a root must be the same."""

    @abstractmethod
    def written(self) -> list[str]:
        """Everything under the root, the latest last."""

    @abstractmethod
    def cut_short(self, key: str, share: float) -> None:
        """Leave a share of the bytes of a key."""

    def refuse_writes(self, number: int) -> None:
        """Let writes below the root fail with this `errno`, in every process of a build."""
        self.flag.write_bytes(bytes(number))

    def break_source(self) -> None:
        """Take photos and speech away, as an unmounted share does."""
        for name in ("photos", "wav"):
            (self.corpus / name).unlink()

    def shrink_source(self) -> None:
        """Leave each person's first two photos; `heal` lets the rest come."""
        (self.corpus / "photos").unlink()
        for person in sorted((self._whole / "photos").iterdir()):
            (self.corpus / "photos" / person.name).mkdir(parents=True)
            for photo in sorted(person.iterdir())[:2]:
                (self.corpus / "photos" / person.name / photo.name).symlink_to(photo)

    def heal(self) -> None:
        """Let everything be there and work again."""
        self.flag.unlink(missing_ok=True)
        (self.folder / "temporary").mkdir(exist_ok=True)
        self._link()

    def close(self) -> None:
        """End what serves the place, and leave the corpus to the next."""
        self._link()

    def _link(self) -> None:
        photos = self.corpus / "photos"
        if photos.is_dir() and not photos.is_symlink():
            shutil.rmtree(photos)
        for name in SOURCES:
            with suppress(FileExistsError):
                (self.corpus / name).symlink_to(self._whole / name)


class Local(Place):
    """A folder of this machine; `disk` may become a disk of its own."""

    def __init__(self, folder: Path, corpus: Path) -> None:
        super().__init__(folder, corpus)
        self.disk = folder / "disk"

    @property
    def root(self) -> str:
        return str(self.folder / "disk" / "root")

    def content(self) -> dict[str, str]:
        root = Path(self.root)
        return content({key: (root / key).read_bytes() for key in self.written()})

    def written(self) -> list[str]:
        files = [path for path in Path(self.root).rglob("*") if path.is_file()]
        return [str(path.relative_to(self.root)) for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)]

    def cut_short(self, key: str, share: float) -> None:
        path = Path(self.root) / key
        os.truncate(path, int(share * path.stat().st_size))

    def take_root(self) -> None:
        """Let the root be gone, as a share that is unmounted."""
        os.rename(self.root, f"{self.root}.away")

    def heal(self) -> None:
        super().heal()
        (self.disk / "ballast").unlink(missing_ok=True)
        away = Path(f"{self.root}.away")
        if away.exists():  # a mounted share covers what was written to its mount point
            shutil.rmtree(self.root, ignore_errors=True)
            away.rename(self.root)

    def close(self) -> None:
        if self.disk.is_mount():
            take_disk(self.disk)
        super().close()


class OnServer(Local):
    """The same as a flow, on a Prefect server that the command starts for itself."""

    def started(self, words: Sequence[str]) -> list[str]:
        return [*super().started(words), "--prefect"]


class Shared(Local):
    """A folder of a share without locks; each command is process 1 of a container of its own."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "CHAOS_NO_LOCKS": "1"}

    def started(self, words: Sequence[str]) -> list[str]:
        return elsewhere(super().started(words))


class OnDask(Local):
    """A folder that the flow and two Dask workers share; task runs are told to the API of the benchmark."""

    def __init__(self, folder: Path, corpus: Path, api: str) -> None:
        super().__init__(folder, corpus)
        self._api = api
        self.dask = Dask(folder, self.environment)
        self.settings = ("work.runner=dask", f"work.dask_address={self.dask.address}")
        self.dask.start_worker(2)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "PREFECT_API_URL": self._api}

    def heal(self) -> None:
        super().heal()
        self.dask.stop()
        self.dask.workers.clear()
        self.dask.start_scheduler()
        self.dask.start_worker(2)

    def close(self) -> None:
        self.dask.stop()
        super().close()


def corpus_in(folder: Path) -> Path:
    """The corpus of painted people that all builds are of."""
    write_corpus(folder, CORPUS)
    return folder


def run(place: Place, command: Sequence[str], limit_s: float, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command at a place to its end."""
    return subprocess.run(
        command,
        env={**place.environment, **environment},
        cwd=place.folder,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def build(place: Place, limit_s: float, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the place's command to its end, undisturbed."""
    return run(place, place.command, limit_s, **environment)


def content(found: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of what must be the same of a root: shards, sidecars, snapshots; these once more with names of parts."""
    kept = {}
    for key, data in found.items():
        if key.startswith("shards/"):
            kept[key] = data
        elif key.startswith("snapshots/") and key.endswith(".json"):
            kept[key + PARTS] = data
            kept[key] = json.dumps({**json.loads(data), "tables": sorted(json.loads(data)["tables"])}).encode()
    return {key: hashlib.sha256(data).hexdigest() for key, data in sorted(kept.items())}
