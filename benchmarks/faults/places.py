"""Where a build runs while something happens to it: a folder, S3 behind a proxy that can be cut, a Dask cluster."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import fsspec

from voxdata.simulate.corpus import CorpusSettings, write_corpus

from .dask_processes import REPOSITORY, Dask

BUCKET = "chaos"
CORPUS = CorpusSettings(people=3, photos_per_person=4, clips_per_person=3, seed=3)
# Imported by every process of a build: writes below ROOT fail while FLAG is there, with the error that its size says.
SITECUSTOMIZE = """
import os, sys

FLAG, ROOT = os.environ.get("CHAOS_FLAG"), os.environ.get("CHAOS_ROOT")

def hook(event, arguments):
    if event not in ("open", "os.mkdir", "os.rename") or not os.path.isfile(FLAG):
        return
    path, writes = arguments[0], event != "open" or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes and isinstance(path, (str, os.PathLike)) and str(path).startswith(ROOT):
        number = os.stat(FLAG).st_size
        raise OSError(number, os.strerror(number), str(path))

if FLAG and ROOT:
    sys.addaudithook(hook)
"""


class Place(ABC):
    """A place with a root of its own, and the command that builds there. `heal` mends what a fault has broken."""

    def __init__(self, folder: Path, corpus: Path) -> None:
        self.folder = folder
        self.corpus = corpus.with_name(f"{corpus.name}-linked")  # the same for all: tables are named by paths, too
        self.flag = folder / "flag"
        self.corpus.mkdir(exist_ok=True)
        self._whole = corpus
        self._link()
        (folder / "hooks").mkdir(parents=True)
        (folder / "hooks" / "sitecustomize.py").write_text(SITECUSTOMIZE)

    @property
    @abstractmethod
    def root(self) -> str:
        """The root's path or url."""

    @property
    def environment(self) -> dict[str, str]:
        """What the command finds in its environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "AWS_"))}
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join([str(self.folder / "hooks"), str(REPOSITORY)]),
            "PYTHONUNBUFFERED": "1",
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": "",
            "CHAOS_FLAG": str(self.flag),
            "CHAOS_ROOT": self.root,
        }

    @property
    def command(self) -> list[str]:
        """The same in the first run and in every rerun."""
        settings = [
            *(f"sources.photos.path={self.corpus / 'photos'}", f"sources.speech.path={self.corpus / 'wav'}"),
            f"sources.metadata.path={self.corpus / 'vox1_meta.csv'}",
            *("faces.measure.frontal_pitch_deg=0", "faces.pose.max_angle_deg=12", "faces.select.min_per_identity=1"),
            *("splits.val_share=0.2", "splits.test_share=0.3", "work.items_per_part=2", "work.workers=2"),
            *self.settings,
        ]
        words = [part for pair in settings for part in ("--set", pair)]
        return [sys.executable, "-m", "flows.cli", "build", "voxceleb-folder", "--root", self.root, *words]

    settings: tuple[str, ...] = ()

    @abstractmethod
    def content(self) -> dict[str, str]:
        """Shard, sidecar or snapshot -> SHA-256, of the whole root; nothing else of a root must be the same."""

    def refuse_writes(self, number: int) -> None:
        """Let writes below the root fail with this `errno`, in every process of a build."""
        self.flag.write_bytes(bytes(number))

    def break_source(self) -> None:
        """Take photos and speech away, as an unmounted share does."""
        for name in ("photos", "wav"):
            (self.corpus / name).unlink()

    def heal(self) -> None:
        """Let everything be there and work again."""
        self.flag.unlink(missing_ok=True)
        self._link()

    def close(self) -> None:  # noqa: B027
        """End what serves the place, where something does."""

    def _link(self) -> None:
        for name in ("photos", "wav", "vox1_meta.csv"):
            with suppress(FileExistsError):
                (self.corpus / name).symlink_to(self._whole / name)


class Local(Place):
    """A folder of this machine."""

    @property
    def root(self) -> str:
        return str(self.folder / "root")

    def content(self) -> dict[str, str]:
        return _content(_files(Path(self.root)))


class OnServer(Local):
    """The same as a flow, on a Prefect server that the command starts for itself."""

    @property
    def command(self) -> list[str]:
        return [*super().command, "--prefect"]


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


class OnS3(Place):
    """A bucket of an S3 server on loopback, reached through a proxy that can be cut."""

    def __init__(self, folder: Path, corpus: Path) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.proxy = Proxy(self._server.get_host_and_port()[1])
        super().__init__(folder, corpus)
        keys = {"key": "x", "secret": "x", "client_kwargs": {"region_name": "us-east-1"}}
        self._files = fsspec.filesystem("s3", endpoint_url=self.proxy.url, skip_instance_cache=True, **keys)
        self._files.call_s3("create_bucket", Bucket=BUCKET)

    @property
    def root(self) -> str:
        return f"s3://{BUCKET}/root"

    @property
    def environment(self) -> dict[str, str]:
        aws = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
        return {**super().environment, **aws, "AWS_ENDPOINT_URL": self.proxy.url}

    def content(self) -> dict[str, str]:
        self._files.invalidate_cache()
        root = f"{BUCKET}/root"
        found = {key.removeprefix(f"{root}/"): self._files.cat_file(key) for key in self._files.find(root)}
        return _content(found)

    def heal(self) -> None:
        super().heal()
        self.proxy.open()

    def close(self) -> None:
        self.proxy.close()
        self._server.stop()


class Proxy:
    """Hands TCP connections on to a port of this machine; while it is cut, nobody listens."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._sockets: set[socket.socket] = set()
        self._listening: socket.socket | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.open()

    def open(self) -> None:
        """Listen, unless it does already."""
        if self._listening is None:
            self._listening = socket.create_server(("127.0.0.1", self._port), backlog=64)
            threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def cut(self) -> None:
        """Listen no more, and end what goes through."""
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        for each in list(self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    close = cut

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets |= {client, server}
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
            self._sockets.discard(each)


def corpus_in(folder: Path) -> Path:
    """The corpus of painted people that all builds are of."""
    write_corpus(folder, CORPUS)
    return folder


def build(place: Place, limit_s: float) -> subprocess.CompletedProcess[str]:
    """Run the place's command to its end, undisturbed."""
    return subprocess.run(
        place.command,
        env=place.environment,
        cwd=place.folder,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _content(found: Mapping[str, bytes]) -> dict[str, str]:
    kept = {
        key: data
        for key, data in found.items()
        if key.startswith("shards/") or (key.startswith("snapshots/") and key.endswith(".json"))
    }
    return {key: hashlib.sha256(data).hexdigest() for key, data in sorted(kept.items())}
