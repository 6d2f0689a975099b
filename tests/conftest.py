"""Fixtures that every room's tests share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import settings

# No test asserts a time, and a busy machine is slow.
settings.register_profile("voxdata", deadline=None)
settings.load_profile("voxdata")
# A suite that is started in the background ignores Ctrl-C, and so would every command that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photos and voices that lie beside the checkout on some machines; tests skip where they do not."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no ../shared/data beside this checkout: the test needs real photos and voices")
    return SHARED_DATA
