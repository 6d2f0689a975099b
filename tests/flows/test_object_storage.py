"""A root on S3: the bytes of a local one, the commands that read it, and one line for what cannot be reached."""

from __future__ import annotations

import socket
from pathlib import Path

import fsspec
import pytest

from tests.flows.building import Voxdata, build_arguments
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.store.storage import open_storage

ROOT = "s3://people/root"
SAME = ("photos/originals/", "fragments/", "shards/", "snapshots/")
URLS = ".urls.txt"  # where the shards lie, which only an object store says so


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people, so that a build of them is short."""
    folder = tmp_path_factory.mktemp("few")
    write_corpus(folder, CorpusSettings(people=3, photos_per_person=3, clips_per_person=2, seed=3))
    return folder


@pytest.fixture
def bucket(s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a server with the bucket of `ROOT`, which is this process's, too."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3", skip_instance_cache=True).mkdirs("people", exist_ok=True)
    return s3_environment


def test_a_root_on_s3_has_the_bytes_of_a_local_one_and_answers(
    voxdata: Voxdata, here: Voxdata, few: Path, bucket: dict[str, str], tmp_path: Path
) -> None:
    local = tmp_path / "root"
    assert here(*build_arguments(few, local)).returncode == 0
    (_, _, _, *settings) = build_arguments(few, local)
    built = voxdata("build", "voxceleb-folder", "--root", ROOT, *settings[1:], **bucket)
    assert built.returncode == 0, built.stderr
    there, beside = open_storage(ROOT), open_storage(local)
    keys = [key for key in beside.keys("") if key.startswith(SAME)]
    assert [key for key in there.keys("") if key.startswith(SAME) and not key.endswith(URLS)] == keys
    assert [key for key in keys if there.read(key) != beside.read(key)] == []
    counts = [
        here("sql", "select count(*) as n from samples", "--format", "csv", "--root", root).stdout
        for root in (ROOT, str(local))
    ]
    assert counts[0] == counts[1] != ""
    for words in (["verify"], ["snapshots"], ["gc", "--dry-run"], ["report", "--out", str(tmp_path / "page")]):
        done = here(*words, "--root", ROOT)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    shards = here("shards", "--root", ROOT).stdout.splitlines()
    assert shards
    assert all(line.startswith(f"{ROOT}/shards/") for line in shards)


def test_a_bucket_that_is_not_there_is_said(here: Voxdata, few: Path, bucket: dict[str, str]) -> None:
    words = build_arguments(few, Path("nowhere"))
    for command in (
        [*words[:3], "s3://no-such-bucket/root", *words[4:]],
        ["snapshots", "--root", "s3://no-such-bucket/root"],
    ):
        done = here(*command)
        assert done.returncode == 1
        line = done.stderr.splitlines()[-1]
        assert line.endswith(
            "root s3://no-such-bucket/root: there is no bucket no-such-bucket; make it, or give another --root"
        )


def test_a_server_that_is_not_there_and_missing_keys_are_one_line(voxdata: Voxdata, bucket: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        gone = {**bucket, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{taken.getsockname()[1]}"}
        keyless = {**bucket, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
        for environment, why in (
            (gone, "Could not connect to the endpoint"),
            (keyless, "Unable to locate credentials"),
        ):
            done = voxdata("snapshots", "--root", ROOT, **environment)
            (line,) = done.stderr.splitlines()
            assert (done.returncode, line.startswith(f"voxdata snapshots: root {ROOT} is not reached: {why}")) == (
                1,
                True,
            ), line
