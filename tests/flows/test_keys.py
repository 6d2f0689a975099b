"""Keys of services come from Prefect's secret blocks into the variables that a recipe names."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SOURCE = "sources.photos={kind: openverse, key_env: OPENVERSE_TOKEN, key_block: %s}"
CLIENT = (
    "sources.photos={kind: openverse, client_id_env: OPENVERSE_ID, client_secret_env: OPENVERSE_TOKEN, "
    "client_secret_block: %s}"
)
PUT = """
import os
from flows.keys import put_keys
from voxdata.format.errors import SourceError
try:
    put_keys("hq-voxceleb", [os.environ["SETTING"]])
    print(os.environ.get("OPENVERSE_TOKEN"))
except SourceError as error:
    print(error)
"""
SAVE = 'from prefect.blocks.system import Secret; Secret(value="from-a-block").save("openverse-token")'


def said(
    code: str, environment: dict[str, str], block: str = "openverse-token", source: str = SOURCE, **more: str
) -> str:
    told = {**os.environ, **environment, "SETTING": source % block, **more}
    done = subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.long
def test_a_key_comes_from_its_block_unless_the_variable_is_set(prefect_environment: dict[str, str]) -> None:
    said(SAVE, prefect_environment)
    assert said(PUT, prefect_environment) == "from-a-block"
    assert said(PUT, prefect_environment, OPENVERSE_TOKEN="my own") == "my own"
    missing = said(PUT, prefect_environment, block="nobody")
    assert missing.startswith("sources.photos.key_block=nobody: Prefect has no secret block of that name")
    nowhere = said(PUT, prefect_environment, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert nowhere.startswith("sources.photos.key_block=openverse-token: Prefect's API does not answer")
    assert "\n" not in nowhere


@pytest.mark.long
def test_a_clients_secret_comes_from_its_block_too(prefect_environment: dict[str, str]) -> None:
    said(SAVE.replace("openverse-token", "openverse-secret"), prefect_environment)
    assert said(PUT, prefect_environment, block="openverse-secret", source=CLIENT) == "from-a-block"
    missing = said(PUT, prefect_environment, block="nobody", source=CLIENT)
    assert missing.startswith("sources.photos.client_secret_block=nobody: Prefect has no secret block of that name")
    assert missing.endswith("set the variable of client_secret_env")
