"""Where a catalog is built: here, or in a process of its own where it is large.

DuckDB takes up to `loading.MEMORY_GB` for it, which the process of a build would keep. The one that is started for it
gets what it needs in a file, answers through its standard output with the error that ended it, and holds its standard
input, which ends with whoever started it: so it never outlives that process, and what it had written by then goes.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from voxdata.catalog.database import CATALOG_KEY
from voxdata.catalog.loading import load_catalog
from voxdata.catalog.snapshot import published_tables
from voxdata.format.errors import CatalogError
from voxdata.format.snapshot import Snapshot
from voxdata.format.temporary import temporary_folder
from voxdata.store.storage import LocalStorage, Storage

# Beyond either, some 50,000 photos with embeddings, loading takes a third of a GB and more; below, starting a process
# would be a good part of the time.
LARGE_BYTES = 100_000_000  # of Parquet files on this machine
LARGE_FILES = 1_000  # elsewhere, where each would have to be asked for its size
NEEDED_GB = 4


def build_catalog(storage: Storage, snapshot: Snapshot, path: Path) -> None:
    """Write the catalog of any snapshot to the file `path`; nothing under the root changes.

    Raises as `publish.rebuild`, and `CatalogError` where a process for it cannot be started or was killed.
    """
    if is_large(storage, published_tables(storage, snapshot)):
        _build_apart(storage, snapshot, path)
    else:
        load_catalog(storage, snapshot, path)


def is_large(storage: Storage, tables: Mapping[str, Sequence[str]]) -> bool:
    """Whether the catalog of these Parquet files is built in a process of its own."""
    if storage.url.startswith("memory:"):  # of this process, as others would find it empty
        return False
    keys = [key for parts in tables.values() for key in parts]
    if not isinstance(storage, LocalStorage):
        return len(keys) > LARGE_FILES
    total = 0
    for key in keys:
        with suppress(OSError):  # loading says what is gone
            total += storage.local(key).stat().st_size
        if total > LARGE_BYTES:
            return True
    return False


def _build_apart(storage: Storage, snapshot: Snapshot, path: Path) -> None:
    with temporary_folder() as folder:
        order = folder / "order"
        order.write_bytes(pickle.dumps((storage, snapshot, path)))
        command = [sys.executable, "-P", "-m", "voxdata.catalog.apart", str(order)]
        environment = {**os.environ, "TMPDIR": str(folder)}  # goes with this folder, however the process ends
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
            )  # Ctrl-C is heard here, and by nobody else
        except OSError as error:
            raise CatalogError(
                f"{CATALOG_KEY} under {storage.url}: the process that builds it cannot be started: {error.strerror}; "
                "the old catalog stays; raise that limit of the system and run: voxdata catalog rebuild --root "
                f"{storage.url}"
            ) from error
        with process:
            try:
                assert process.stdout is not None
                answer = process.stdout.read()
            except BaseException:
                process.kill()
                raise
    if not answer:
        status = process.returncode
        how = signal.strsignal(-status) if status < 0 else status
        raise CatalogError(
            f"{CATALOG_KEY} under {storage.url}: the process that builds it ended without a word ({how}), most often "
            f"killed by the system for want of memory; the old catalog stays; it needs up to {NEEDED_GB} GB: free some "
            f"and run: voxdata catalog rebuild --root {storage.url}"
        )
    failed: Exception | None = pickle.loads(answer)
    if failed is not None:
        raise failed


def main() -> None:
    """Build the catalog that the file of the first argument describes, and answer."""
    order = Path(sys.argv[1])
    storage, snapshot, path = pickle.loads(order.read_bytes())
    threading.Thread(target=_end_with_parent, args=(path, order.parent), daemon=True).start()
    answer = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    failed: Exception | None = None
    try:
        load_catalog(storage, snapshot, path)
    except Exception as error:
        failed = error
    os.write(answer, pickle.dumps(failed))


def _end_with_parent(path: Path, folder: Path) -> None:
    os.read(0, 1)  # nothing is ever sent: this returns when the other end is closed
    shutil.rmtree(folder, ignore_errors=True)
    for left in (path, path.with_name(f"{path.name}.wal")):  # last: the other thread may be about to create it
        with suppress(OSError):
            left.unlink()
    os._exit(1)


if __name__ == "__main__":
    main()
