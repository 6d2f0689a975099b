"""`voxdata demo`: the whole product on simulated people, run the way people run it themselves.

Starts a Prefect server and a process worker on free loopback ports with a PREFECT_HOME of their own, simulates a
corpus, publishes its photos as a web site, deploys, runs `build-hq-voxceleb/demo` and `train/demo`, follows them, and
stops what it started. The report is there from the first photos on and is written again after each step. Everything
lies in one folder; no checkout is needed.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import httpx

from flows.deploying import deployments
from flows.prefect_api import free_port
from models.processes import python_module
from voxdata.format.errors import BackendError
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.simulate.site import start_site

POOLS = ("voxdata-cpu", "voxdata-gpu")
SERVER_LIMIT_S = 120
FIRST_PICTURES = 18
FIRST_STYLE = (
    "body{font:1rem/1.5 system-ui;max-width:62rem;margin:2rem auto;padding:0 1rem} img{width:9rem;margin:.2rem}"
)
HEARD = "| voxdata - "


def run_demo(folder: Path, people: int, seconds: float, seed: int) -> None:
    """All steps, in an absolute `folder`. Raises `BackendError` when a step fails, naming its log."""
    started = time.monotonic()
    for name in ("logs", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    root = folder / "root"
    with ExitStack() as stack:
        _say("simulate", f"{people} people with photos and voices, tied by a known link")
        corpus = CorpusSettings(people=people, photos_per_person=6, clips_per_person=6, seed=seed, link=1.0)
        write_corpus(folder / "corpus", corpus, workers=2)
        report = folder / "report.html"
        report.write_text(first_page(folder / "corpus"), encoding="utf-8")
        _say("report", f"{os.path.relpath(report)} shows some of them, and more after each step: open it in a browser")
        site = stack.enter_context(start_site(folder / "corpus"))
        _say("site", f"the photos are a web site on {site.url}")
        environment = stack.enter_context(_server(folder))
        for pool in POOLS:
            _prefect(environment, folder, "work-pool", "create", pool, "--type", "process", "--overwrite")
        _prefect(environment, folder, "--no-prompt", "deploy", "--all", "--prefect-file", str(deployments()))
        worker_log = stack.enter_context(_worker(environment, folder))
        _say("build", "prefect deployment run build-hq-voxceleb/demo")
        settings = [
            f"sources.photos={{kind: site, url: '{site.url}'}}",
            f"sources.speech.path={folder / 'corpus' / 'wav'}",
            f"sources.metadata.path={folder / 'corpus' / 'vox1_meta.csv'}",
        ]
        _deployment(environment, folder, worker_log, "build-hq-voxceleb/demo", root=str(root), settings=settings)
        _write_report(report, root)
        _say("report", "what became of every photo and clip, and the portraits")
        _say("train", f"prefect deployment run train/demo: SF2F tiny, {seconds:.0f} s")
        _deployment(environment, folder, worker_log, "train/demo", root=str(root), seconds=seconds, seed=seed)
        _write_report(report, root)
    _finish(folder, root, started)


def _finish(folder: Path, root: Path, started: float) -> None:
    from flows.demo_truth import judge_with_truth
    from flows.gallery import write_gallery

    run = max((root / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
    _say("judge", "held-out people, beside chance, sex, a linear regression and the known optimum")
    print(judge_with_truth(run, folder / "corpus"))
    write_gallery(run)
    report = folder / "report.html"
    _write_report(report, root)
    here, voxdata = os.path.relpath(root), _called()
    print(
        f"""
Done in {time.monotonic() - started:.0f} s. Look at {os.path.relpath(report)} in a browser.

Ask the dataset:
  {voxdata} sql --query funnel --root {here}
  {voxdata} sql "select identity, face_angle_deg from portraits order by quality desc limit 5" --root {here}
  {voxdata} sql "select sex, round(avg(pitch_median_hz)) as pitch_hz from speech group by sex" --root {here}

Your own folders:
  {voxdata} build voxceleb-folder --root data --set sources.photos.path=PHOTOS --set sources.speech.path=WAV
"""
    )


def first_page(corpus: Path) -> str:
    """A page of the first photo of some people of a corpus, until there is a report; it is loaded again by itself."""
    from voxdata.pages.report.html import Html, element

    photos = [min(each.iterdir()) for each in sorted((corpus / "photos").iterdir())[:FIRST_PICTURES]]
    pictures = [
        element(
            "img",
            src=f"data:image/jpeg;base64,{base64.b64encode(photo.read_bytes()).decode()}",
            alt=f"a photo of {photo.parent.name}, a painted person",
        )
        for photo in photos
    ]
    title = "voxdata demo: painted people"
    said = (
        "Some of the photos that the build is collecting. Everybody here is painted and nobody is real. The report "
        "takes the place of this page when the build has ended; the page looks for it every 20 seconds."
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="refresh", content="20"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(FIRST_STYLE)),
    )
    body = element("body", element("main", element("h1", title), element("p", said), *pictures))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _write_report(report: Path, root: Path) -> None:
    from voxdata.forgetting.outputs import write_noted
    from voxdata.pages.report.page import build_report
    from voxdata.pages.report.runs import shown_snapshots
    from voxdata.store.storage import open_storage

    storage = open_storage(root)
    write_noted(
        storage, "report", str(report), lambda: shown_snapshots(storage), lambda: build_report(storage).encode()
    )


def _called() -> str:
    """How the command is called from where the user stands."""
    path = Path(sys.executable).parent / "voxdata"
    return "voxdata" if shutil.which("voxdata") == str(path) else os.path.relpath(path)


@contextmanager
def _server(folder: Path) -> Iterator[dict[str, str]]:
    """A Prefect server with a home in the folder; yields the environment of its clients."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(folder / "prefect"),
        "TMPDIR": str(folder / "tmp"),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "VOXDATA_HOME": str(folder.parent),
        "PYTHONSAFEPATH": "1",
    }
    command = ["server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with _process(command, environment, folder / "logs" / "server.log") as server:
        _wait_for(f"{url}/health", server, folder / "logs" / "server.log")
        _say("server", f"a Prefect server on {url.removesuffix('/api')} while this runs")
        yield {**environment, "PREFECT_API_URL": url}


@contextmanager
def _worker(environment: Mapping[str, str], folder: Path) -> Iterator[Path]:
    """A process worker; yields its log."""
    log = folder / "logs" / "worker.log"
    with _process(["worker", "start", "--pool", POOLS[0], "--type", "process"], environment, log):
        yield log


@contextmanager
def _process(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`prefect COMMAND` in a group of its own, ended with the context."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            python_module("prefect", *command),
            env=dict(environment),
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + SERVER_LIMIT_S
    while time.monotonic() < until and server.poll() is None:
        try:
            httpx.get(url, timeout=2).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.3)
    raise BackendError(f"the Prefect server did not start in {SERVER_LIMIT_S} s; see {log}")


def _prefect(environment: Mapping[str, str], folder: Path, *command: str) -> None:
    log = folder / "logs" / "prefect.log"
    with log.open("ab") as file:
        done = subprocess.run(
            python_module("prefect", *command), env=dict(environment), stdout=file, stderr=file, check=False
        )
    if done.returncode:
        raise BackendError(f"prefect {' '.join(command[:4])} failed with status {done.returncode}; see {log}")


def _deployment(
    environment: Mapping[str, str], folder: Path, worker_log: Path, name: str, **parameters: object
) -> None:
    """Run a deployment, following the worker's log until it ends."""
    arguments = [part for key, value in parameters.items() for part in ("--param", f"{key}={json.dumps(value)}")]
    over = threading.Event()
    with worker_log.open("rb") as log:
        log.seek(0, os.SEEK_END)
        follower = threading.Thread(target=_follow, args=(log, over))
        follower.start()
        try:
            _prefect(environment, folder, "deployment", "run", name, *arguments, "--watch")
        finally:
            over.set()
            follower.join()


def _follow(log: IO[bytes], over: threading.Event) -> None:
    """Print what our own logger says in a worker's log."""
    while True:
        ending = over.is_set()
        for line in log.readlines():
            _, heard, text = line.decode(errors="replace").partition(HEARD)
            if heard:
                print(f"    {text.rstrip()}", flush=True)
        if ending:
            return
        time.sleep(0.3)


def _say(step: str, what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {step}: {what}", flush=True)
