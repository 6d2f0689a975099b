"""The table of faults: what happens, and where it can."""

from __future__ import annotations

import errno
import resource
import signal
from collections.abc import Callable, Mapping
from typing import Any

from . import happenings as it
from .attempts import Fault, Running
from .machine import clock_ahead
from .places import Place

EVERYWHERE = ("local", "s3", "dask", "shared", "server")
HERE = ("local", "s3", "shared", "server")
UNWATCHED = ("local", "s3", "dask")
# Opened by speech.measure in the workers, and by nothing that decodes in the flow.
KILLER = {"CHAOS_KILLER": "id90002/p6wNFoGy6dn/00002.wav"}
ENDS = ("speech.measure: .*to do",)


def _fault(name: str, where: tuple[str, ...], does: Callable[[Running], None], **more: Any) -> Fault:
    return Fault(name=name, where=where, does=does, **more)


def _ahead(place: Place) -> Mapping[str, str]:
    return clock_ahead(place.folder)


FAULTS = (
    _fault("flow killed", EVERYWHERE, it.signalled(signal.SIGKILL)),
    _fault("stopped for longer than its lease", ("s3", "shared"), it.overtaken, needs="namespaces"),
    _fault("flow alone stopped for so long", ("s3", "shared"), it.flow_overtaken, needs="namespaces"),
    _fault("second build", EVERYWHERE, it.second_build),
    _fault("worker killed", HERE, it.worker_killed),
    _fault("SIGTERM", EVERYWHERE, it.signalled(signal.SIGTERM)),
    _fault("Ctrl-C", ("local", "s3", "dask", "server"), it.ctrl_c),
    _fault("disk filled", ("local",), it.disk_filled, before=it.own_disk, needs="disks"),
    _fault("disk full", ("local",), it.refused(errno.ENOSPC)),
    _fault("disk read-only", ("local", "shared"), it.refused(errno.EROFS)),
    _fault("disk fails", ("local",), it.refused(errno.EIO)),
    _fault("files limited to 4 KiB", ("local",), it.limited(resource.RLIMIT_FSIZE, 4096)),
    _fault("no more files may be opened", ("local",), it.limited(resource.RLIMIT_NOFILE, 16)),
    _fault("worker gets no more memory", ("local",), it.small_memory),
    _fault("root gone", ("local",), it.root_gone),
    _fault("part of no bytes", ("local", "s3"), it.torn(0.0)),
    _fault("half a part", ("local", "s3"), it.torn(0.5)),
    _fault("source gone", UNWATCHED, it.no_source),
    _fault(
        "source grown, other parts",
        ("local", "s3", "dask"),
        it.signalled(signal.SIGKILL),
        before=it.shrunk,
        settings=("work.items_per_part=3",),
        moments=ENDS,
    ),
    _fault("second build of other parts", ("local", "s3"), it.second_of_other_parts),
    _fault("somebody forgotten meanwhile", ("local", "s3"), it.forgetting),
    _fault("a clip that kills its worker", ("local",), it.nothing, always=KILLER, moments=ENDS),
    _fault(
        "a clip that kills Dask workers",
        ("dask",),
        it.nothing,
        always=KILLER,
        before=it.with_nannies(**KILLER),  # they have been started before the command
        moments=ENDS,
    ),
    _fault("temporary server killed", ("server",), it.server_killed),
    _fault("temporary server stopped for a while", ("server",), it.server_asleep),
    _fault("endpoint down for a while", ("s3",), it.endpoint_down),
    _fault("endpoint gone", ("s3",), it.endpoint_gone),
    _fault("503 for a while", ("s3",), it.answering("503 Slow Down", "SlowDown", 2 * it.PAUSE_S)),
    _fault("503 from now on", ("s3",), it.answering("503 Slow Down", "SlowDown")),
    _fault("bucket missing", ("s3",), it.answering("404 Not Found", "NoSuchBucket")),
    _fault("access withdrawn", ("s3",), it.answering("403 Forbidden", "AccessDenied")),
    _fault("endpoint slow", ("s3",), it.endpoint_slow),
    _fault("connections reset", ("s3",), it.connections_reset),
    _fault("temporary files cleared", ("s3",), it.temporary_gone),
    _fault("Dask worker killed", ("dask",), it.dask_worker_killed),
    _fault("Dask workers replaced", ("dask",), it.dask_workers_replaced),
    _fault("Dask worker stopped for a while", ("dask",), it.dask_worker_asleep),
    _fault("scheduler killed", ("dask",), it.scheduler_killed),
    _fault("killed and begun anew at once", ("dask",), it.killed_and_begun_anew),
    _fault("worker with another library", ("dask",), it.other_library),
    _fault("worker without the sources", ("dask",), it.worker_without_sources, needs="disks"),
    _fault("worker without the root", ("dask",), it.worker_without_root, needs="disks"),
    _fault(
        "killed with a clock ahead",
        ("local", "s3", "shared"),
        it.signalled(signal.SIGKILL),
        environment=_ahead,
        needs="clocks",
    ),
    _fault("flow stopped for a while", UNWATCHED, it.asleep),
    _fault("worker stopped for a while", ("local", "s3"), it.worker_asleep),
)
