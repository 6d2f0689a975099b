"""A root on S3: the bytes of a local one, the commands that read it, and one line for what cannot be reached."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import fsspec
import pytest

from benchmarks.s3_server import SEEN, watched
from tests.flows.building import Voxdata, build_arguments
from tests.flows.trained_root import PEOPLE, SMALL, pairs, publish_people, train
from voxdata.catalog.publish import publish
from voxdata.shards.write import content_hash
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.store import journal
from voxdata.store.storage import Storage, open_storage

ROOT = "s3://people/root"
FEW = "s3://people/few"
SAME = ("photos/originals/", "fragments/", "shards/", "snapshots/")
URLS = ".urls.txt"  # where the shards lie, which only an object store says so


def assert_nothing_is_asked_twice(requests: list[dict[str, Any]]) -> None:
    """What a build asks where people have several parts, which it compacts, and sources lie beside the root."""
    asked = Counter((each["kind"], each["key"].removeprefix("/people/")) for each in requests)

    def counts(kind: str, pattern: str) -> dict[str, int]:
        return {key: count for (other, key), count in asked.items() if kind == other and re.match(pattern, key)}

    parts, tars = r"root/(photos|fragments)/.*/b\d{4}/.*parquet", r"root/fragments/.*/b\d{4}/.*tar"
    assert len(counts("PUT", parts)) > 12, "three people, four stages, and several parts"
    assert set(counts("PUT", rf"{parts}|{tars}|root/shards/").values()) == {1}
    assert [counts(kind, parts) for kind in ("GET", "HEAD", "DELETE")] == [{}, {}, {}], "written here, deleted together"
    listed = {each["prefix"] for each in requests if each["kind"] == "LIST"}
    assert [prefix for prefix in listed if re.search(r"/b\d{4}", prefix)] == [], "a stage's listing says it"
    assert 0 < sum(counts("POST", "").values()) <= 9, "one deletes what a bucket's part was made of"
    assert set(counts("GET", tars).values()) == {1}, "when it is packed"
    originals = counts("GET", r"root/photos/.*tar")
    assert max(originals.values()) <= 4, "for each part that is measured or rendered"
    assert set(counts("GET", "few/photos/.*").values()) == {1}
    assert set(counts("GET", "few/wav/.*").values()) == {2}, "hashed, and measured"


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


@pytest.mark.long
def test_a_root_on_s3_has_the_bytes_of_a_local_one_and_answers(
    voxdata: Voxdata, here: Voxdata, few: Path, bucket: dict[str, str], tmp_path: Path
) -> None:
    """So are its sources: photos and clips lie there, too. It asks for nothing twice."""
    local = tmp_path / "root"
    for name in ("photos", "wav"):
        fsspec.filesystem("s3").put(f"{few / name}/", f"people/few/{name}/", recursive=True)
    away = [f"sources.photos.path={FEW}/photos", f"sources.speech.path={FEW}/wav", "work.items_per_part=2"]
    assert here(*build_arguments(few, local, *away)).returncode == 0
    (_, _, _, *settings) = build_arguments(few, local, *away)
    with watched(0.0) as port:
        url = f"http://127.0.0.1:{port}"
        built = voxdata(
            "build", "voxceleb-folder", "--root", ROOT, *settings[1:], **{**bucket, "AWS_ENDPOINT_URL": url}
        )
        with urllib.request.urlopen(f"{url}{SEEN}") as told:
            assert_nothing_is_asked_twice(json.load(told)["requests"])
    assert built.returncode == 0, built.stderr
    there, beside = open_storage(ROOT), open_storage(local)
    keys = [key for key in beside.keys("") if key.startswith(SAME)]
    assert [key for key in there.keys("") if key.startswith(SAME) and not key.endswith(URLS)] == keys
    assert [key for key in keys if there.read(key) != beside.read(key)] == []
    addresses = "select address from sources order by all"
    assert here("sql", addresses, "--format", "csv", "--root", ROOT).stdout.split() == [
        "address",
        f"{FEW}/photos/",
        f"{FEW}/wav/",
    ]
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


@pytest.mark.long
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


def published_on_s3(folder: Path, url: str) -> Storage:
    """A snapshot that a training can read, its shards named as `pack` names them."""
    local = publish_people(folder / "root", "people01", PEOPLE, at="2026-01-01T00:00:00Z")
    there = open_storage(url)
    document = json.loads(local.read("snapshots/people01.json"))
    for entry in document["shards"]:
        tar, sidecar = local.read(entry["tar"]), local.read(entry["sidecar"])
        stem = f"{entry['tar'].rpartition('-')[0]}-{content_hash(entry['sha256'], sidecar)}"
        entry |= {"tar": f"{stem}.tar", "sidecar": f"{stem}.parquet"}
        there.commit(entry["tar"], tar)
        there.commit(entry["sidecar"], sidecar)
    there.commit("snapshots/people01.json", json.dumps(document).encode())
    publish(there, "people01", at="2026-01-01T00:00:00Z")
    return there


@pytest.mark.long
def test_a_training_on_a_root_on_s3_works_on_its_copy_and_is_known_there(
    here: Voxdata,
    bucket: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = "s3://people/trained"
    there = published_on_s3(tmp_path, url)
    monkeypatch.setenv("VOXDATA_COPIES", str(tmp_path / "copies"))
    run = Path(train(root=url, settings=pairs(SMALL), steps=2, device="cpu"))
    (copy,) = (tmp_path / "copies").iterdir()
    assert run.parent == copy / "runs"
    for table in ("runs", "evaluations"):
        facts = [{**fact, "fact": ""} for fact in journal.read_new(open_storage(copy), table)]
        assert facts == [{**fact, "fact": ""} for fact in journal.read_new(there, table)] != []
    listed = here("models", "--root", url)
    assert (listed.returncode, run.name in listed.stdout) == (0, True), listed.stderr
    done = here("evaluate", run.name, "--root", url)
    assert done.returncode == 0, done.stderr
    assert f"root {url} is read from its copy {copy}" in caplog.text
