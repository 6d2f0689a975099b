"""A Prefect API for flows that are called from the command line.

Where none is configured, Prefect starts a temporary server by itself; where one is configured but does not answer, that
is said in one line. Prefect's own log stays quiet, because the commands speak for themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.settings import PREFECT_API_URL

from flows.progress import logger
from voxdata.errors import BackendError


@contextmanager
def running_flows() -> Iterator[None]:
    """Within this context flows may be called. Raises `BackendError` when the configured API does not answer."""
    url = PREFECT_API_URL.value()
    if url is None:
        logger.info("starting a temporary Prefect server (a few seconds; keep one with: prefect server start)")
    else:
        check_api(url)
    yield


def check_api(url: str) -> None:
    """Ask a Prefect API for its health. Raises `BackendError`."""
    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        raise BackendError(
            f"the Prefect API at {url} does not answer ({type(error).__name__}); start it with: prefect server start, "
            "or unset PREFECT_API_URL to use a temporary one"
        ) from None
