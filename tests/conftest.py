"""Fixtures that every room's tests share."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

# No test asserts a time, and a busy machine is slow. The suite takes the same examples in every run, `make fuzz` new
# ones.
settings.register_profile("voxdata", deadline=None, derandomize=True)
settings.register_profile(
    "long", deadline=None, max_examples=3_000, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("voxdata")

_constants = providers._get_local_constants


def _constants_of_profile() -> Any:
    """Constants of the modules that a process has loaded are examples of `make fuzz` alone: in the suite examples would
    depend on which tests ran before in the same worker."""
    return Constants() if settings.get_current_profile_name() == "voxdata" else _constants()


providers._get_local_constants = _constants_of_profile
# A suite that is started in the background ignores Ctrl-C, and so would every command that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a case of bytes without them: a test is the same in every process, and archives carry the time."""
    return "bytes" if isinstance(val, bytes) else None


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def level_of_log() -> None:
    """An earlier command of this process (`--quiet`, `--json`) has said how much is logged, for itself."""
    logging.getLogger("voxdata").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photos and voices that lie beside the checkout on some machines; tests skip where they do not."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no ../shared/data beside this checkout: the test needs real photos and voices")
    return SHARED_DATA


@pytest.fixture(scope="session")
def s3_environment() -> Iterator[dict[str, str]]:
    """A real S3 server on loopback, without a bucket, and the environment of processes that use it."""
    from moto.server import ThreadedMotoServer  # takes seconds to load

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server.stop()
