"""A Prefect API for flows that are called from the command line.

Where none is configured, a temporary server is started; where one is configured but does not answer, that is said in
one line. Prefect's own log stays quiet, because the commands speak for themselves.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

import httpx
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.server_watch import ending_with, watched
from models.processes import python_module
from voxdata.format.errors import BackendError
from voxdata.format.temporary import temporary_files
from voxdata.pipeline.progress import logger, waiting

START_LIMIT_S = 90
POLL_S = 0.2
SEND_LIMIT_S = 5
PROXIES = ("all_proxy", "http_proxy", "https_proxy")


@contextmanager
def running_flows() -> Iterator[str]:
    """Within this context flows may be called; yields the API's URL. Raises `BackendError` when it does not answer."""
    check_proxies()
    url = PREFECT_API_URL.value()
    if url:  # an empty one is none, as a shell or a compose file leaves it
        check_api(url)
        with watched(url), _answering(url):
            yield url
        return
    logger.info("starting a temporary Prefect server (some seconds; to keep one: prefect server start)")
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    with ExitStack() as opened:
        with temporary_files():
            log = opened.enter_context(tempfile.TemporaryFile())
        server = subprocess.Popen(
            python_module("flows.temporary_server", str(port), str(os.getpid())),
            start_new_session=True,
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                "PREFECT_UI_ENABLED": "0",
                "PREFECT__SERVER_EPHEMERAL": "1",
                "PREFECT__SERVER_FINAL": "1",
            },
        )
        try:
            with waiting("the Prefect server starts"):
                _wait_for(url, server, log)
            with ending_with(server), temporary_settings({PREFECT_API_URL: url}), _answering(url):
                yield url
        finally:
            _send_the_rest()
            _stop(server)


@contextmanager
def _answering(url: str) -> Iterator[None]:
    """Within this context it is one line where the API stays away, or refuses, for longer than Prefect tries again."""
    try:
        yield
    except httpx.HTTPError as error:
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise BackendError(
            f"the Prefect API at {url} failed in the middle of the work ({said}); see that it answers (prefect server "
            "start), then run the same command again: it resumes from what is committed"
        ) from None


def check_api(url: str) -> None:
    """Ask a Prefect API for its health. Raises `BackendError`."""
    check_proxies()
    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        raise BackendError(
            f"the Prefect API at {url} does not answer ({type(error).__name__}); start it with: prefect server start, "
            "or unset PREFECT_API_URL to use a temporary one"
        ) from None


def check_proxies() -> None:
    """See that Prefect's client, which reads all proxies as it is made, can use them. Raises `BackendError`."""
    try:
        httpx.Client().close()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        set_here = [name for name in os.environ if name.lower() in PROXIES and os.environ[name]]
        why = str(error).partition(". ")[0].rstrip(".")
        raise BackendError(
            f"Prefect cannot use the proxy of {' or '.join(sorted(set_here))} ({why}); unset it for this command, or, "
            "for a SOCKS proxy, run: pip install 'httpx[socks]'"
        ) from None


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(url: str, server: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    until = time.monotonic() + START_LIMIT_S
    while time.monotonic() < until:
        if server.poll() is not None:
            raise BackendError(
                f"the temporary Prefect server ended with status {server.returncode}; try: prefect server start"
            )
        try:
            httpx.get(f"{url}/health", timeout=2).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(POLL_S)
    raise BackendError(f"the temporary Prefect server did not start in {START_LIMIT_S} s; try: prefect server start")


def _send_the_rest() -> None:
    """Let Prefect's threads send what they hold while they can: without a server they keep a process from ending."""
    for service in (APILogWorker, EventsWorker):
        service.drain_all(timeout=SEND_LIMIT_S, at_exit=False)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(timeout=5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
