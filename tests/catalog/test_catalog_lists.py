"""`voxdata shards` and the lists beside a snapshot: the tars of one version, and no other's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
import webdataset as wds
from small_root import AT, SmallRoot

from flows.cli import main
from voxdata.catalog.garbage import collect
from voxdata.catalog.lists import README_KEY
from voxdata.catalog.publish import rebuild
from voxdata.catalog.snapshot import Snapshot, list_snapshots
from voxdata.catalog.tags import tag
from voxdata.catalog.verify import verify
from voxdata.store import journal
from voxdata.store.storage import LocalStorage, Storage, open_storage

LISTS = ["test-faces", "test-speech", "train-faces", "train-speech", "val-faces", "val-speech"]

# webdataset leaves the tars that it has read to the garbage collector
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def shards(capsys: pytest.CaptureFixture[str], root: object, *words: str) -> tuple[int, list[str], str]:
    capsys.readouterr()
    status = main(["shards", "--root", str(root), *words])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return status, said.out.splitlines(), said.err


def two_versions(storage: Storage) -> tuple[Snapshot, Snapshot]:
    """Ten people, then eight of them, in shards of other colours."""
    old = SmallRoot(storage).publish()
    new = SmallRoot(storage, people=8, jpeg_colour=200)
    new.renders = type(new.renders)(storage, "faces.render", "1" * 16)
    return old, new.publish()


def list_of(storage: Storage, snapshot: Snapshot, name: str) -> list[str]:
    return storage.read(f"snapshots/{snapshot.id}/{name}.txt").decode().splitlines()


def tars(snapshot: Snapshot, name: str) -> list[str]:
    return sorted(entry.tar for entry in snapshot.shards if f"{entry.split}-{entry.kind}" == name)


def identities(urls: list[str]) -> set[str]:
    pipeline = wds.WebDataset(urls, shardshuffle=False)
    return {json.loads(sample["json"])["identity"] for sample in pipeline}


def opt_out(storage: Storage, *people: str) -> None:
    for person in people:
        fact = {"person": person, "decision": "opted_out", "reason": "letter", "at": AT}
        journal.append(storage, "optouts", fact)


def test_each_version_lists_its_own_tars_and_webdataset_reads_them(
    small: SmallRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = two_versions(small.storage)
    for snapshot in (old, new):
        there = [key for key in small.storage.keys(f"snapshots/{snapshot.id}") if key.endswith(".txt")]
        names = [name for name in LISTS if tars(snapshot, name)]
        assert there == [f"snapshots/{snapshot.id}/{name}.txt" for name in names]
        assert all(list_of(small.storage, snapshot, name) == tars(snapshot, name) for name in names)
    root = Path(small.storage.url)
    status, printed, err = shards(capsys, root, "--split", "train", "--kind", "faces")
    assert (status, err) == (0, "")
    assert printed == [str(root / tar) for tar in tars(new, "train-faces")]
    assert identities(printed) == {f"id{n:05d}" for n in range(8)}
    globbed = sorted(str(path) for path in (root / "shards").glob("train-faces-*.tar"))
    assert set(printed) < set(globbed)  # what the lists are for


def test_the_lists_move_with_the_root(small: SmallRoot, tmp_path: Path) -> None:
    snapshot = small.publish()
    moved = Path(shutil.move(small.storage.url, tmp_path / "elsewhere"))
    listed = list_of(LocalStorage(moved), snapshot, "train-speech")
    assert identities([str(moved / tar) for tar in listed]) == {f"id{n:05d}" for n in range(8)}
    assert not any(str(tmp_path) in path.read_text() for path in (moved / "snapshots").rglob("*.txt"))
    assert verify(LocalStorage(moved)) == []


@pytest.mark.long
def test_a_shell_takes_the_output_as_it_is(small: SmallRoot) -> None:
    """Of a root with braces in its name, which webdataset expands in texts but not in lists."""
    small = SmallRoot(open_storage(Path(small.storage.url) / "with {0..9}", create=True))
    snapshot = small.publish()
    voxdata = [sys.executable, "-m", "flows.cli", "shards", "--root", small.storage.url, "--kind", "faces"]
    done = subprocess.run(voxdata, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert len(identities(done.stdout.splitlines())) == 10
    relative = subprocess.run([*voxdata, "--relative"], capture_output=True, text=True, check=True).stdout
    listing = 'for tar in $(cat); do tar -tf "$tar"; done'
    members = subprocess.run(
        ["sh", "-c", listing], input=relative, cwd=small.storage.url, capture_output=True, text=True, check=True
    )
    faces = [entry for entry in snapshot.shards if entry.kind == "faces"]
    assert len(members.stdout.splitlines()) == sum(entry.members for entry in faces)


def test_the_first_example_of_the_readme_works(small: SmallRoot, tmp_path: Path) -> None:
    small.publish()
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    ask, load = (
        line for line in readme.splitlines() if re.match("voxdata shards .*faces.txt|python .*faces.txt", line)
    )
    ask = ask.replace("voxdata", f"{sys.executable} -m flows.cli", 1).replace("DATA", small.storage.url, 1)
    lines = f"{ask}\n{load.replace('python', sys.executable, 1)}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        ["sh", "-ec", lines], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("8\n", "")


def test_another_version_by_id_and_tag_as_json(small: SmallRoot, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = two_versions(small.storage)
    tag(small.storage, "paper", old.id, at=AT)
    root = small.storage.url
    by_tag = shards(capsys, root, "--snapshot", "paper", "--relative")[1]
    assert by_tag == sorted(entry.tar for entry in old.shards)
    assert by_tag == shards(capsys, root, "--snapshot", old.id, "--relative")[1]
    _, lines, _ = shards(capsys, root, "--kind", "speech", "--json")
    said = {each["path"]: each for each in json.loads("\n".join(lines))}
    promised = {f"{root}/{entry.tar}": entry for entry in new.shards if entry.kind == "speech"}
    assert said.keys() == promised.keys()
    for path, entry in promised.items():
        assert (said[path]["sha256"], said[path]["samples"]) == (entry.sha256, entry.samples)
        assert said[path]["opted_out"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--split", "dev"], "has no shards of --split dev; it has test-faces (1), test-speech (1), train-faces (2)"),
        (["--split", "val", "--kind", "video"], "has no shards of --split val --kind video; it has test-faces (1)"),
        (["--snapshot", "nothing"], "no snapshot 'nothing'"),
    ],
)
def test_what_is_not_there_is_one_line_that_says_what_is(
    small: SmallRoot, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    small.publish()
    status, printed, err = shards(capsys, small.storage.url, *words)
    assert (status, printed, err.count("\n")) == (1, [], 1)
    assert message in err


def test_a_root_whose_name_breaks_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "two\nlines"
    SmallRoot(open_storage(root, create=True)).publish()
    status, printed, err = shards(capsys, root)
    assert (status, printed, "add --relative or --json" in err) == (1, [], True)
    assert shards(capsys, root, "--relative")[0] == 0


def test_people_who_opted_out_since_are_said_and_the_list_stays_true(
    small: SmallRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = two_versions(small.storage)
    root = small.storage.url
    before = shards(capsys, root, "--split", "train")
    assert before[2] == ""
    opt_out(small.storage, "id00003", "id00005")
    status, printed, err = shards(capsys, root, "--split", "train")
    assert (status, printed) == before[:2]
    assert f"snapshot {new.id} still holds 2 people who opted out since" in err
    assert f"voxdata redecide --root {root}" in err
    _, lines, _ = shards(capsys, root, "--json")
    counted = {each["path"]: each["opted_out"] for each in json.loads("\n".join(lines))}
    for path, count in counted.items():
        assert count == len(identities([path]) & {"id00003", "id00005"})
    assert sum(counted.values()) == 4  # faces and speech of both
    opt_out(small.storage, "id00008")
    journal.append(
        small.storage, "optouts", {"person": "id00003", "decision": "withdrawn", "reason": "x", "at": "2027-01-01"}
    )
    journal.append(
        small.storage, "optouts", {"person": "id00005", "decision": "withdrawn", "reason": "x", "at": "2027-01-01"}
    )
    assert shards(capsys, root)[2] == ""
    err = shards(capsys, root, "--snapshot", old.id)[2]
    assert f"still holds 1 person who opted out since, or whose forgetting has begun, in 2 of {len(old.shards)}" in err
    assert f"the current version, {new.id}, is without them: leave out --snapshot" in err


def test_sql_says_who_is_still_in_the_version_that_it_asks(small: SmallRoot, caplog: pytest.LogCaptureFixture) -> None:
    old, new = two_versions(small.storage)
    rebuild(small.storage)
    asked = ["sql", "SELECT count(*) AS n FROM portraits", "--root", small.storage.url, "--format", "csv"]
    assert main(asked) == 0
    assert "opted out" not in caplog.text
    opt_out(small.storage, "id00003", "id00005")
    assert main(asked) == 0
    assert f"snapshot {new.id} still holds 2 people who opted out since" in caplog.text
    caplog.clear()
    assert main([*asked, "--before", old.id]) == 0
    assert f"the catalog of snapshot {new.id} still holds 2 people" in caplog.text
    assert f"the catalog of snapshot {old.id} still holds 2 people" in caplog.text
    assert f"voxdata redecide --root {small.storage.url}" in caplog.text


@pytest.mark.parametrize("option", ["--snapshot", "--before"])
def test_sql_on_an_older_version_names_the_current_one_where_that_is_without_them(
    small: SmallRoot, caplog: pytest.LogCaptureFixture, option: str
) -> None:
    old, new = two_versions(small.storage)
    rebuild(small.storage)
    opt_out(small.storage, "id00008")
    asked = ["sql", "SELECT count(*) AS n FROM portraits", "--root", small.storage.url, option, old.id]
    assert main(asked) == 0
    assert f"the catalog of snapshot {old.id} still holds 1 person" in caplog.text
    assert f"the current version, {new.id}, is without them: leave out {option}" in caplog.text
    assert "redecide" not in caplog.text


def test_urls_on_object_storage(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/exchange.md: one line makes webdataset read any URL that fsspec reads."""
    root = "memory://bucket/lists"
    storage = open_storage(root)
    old, new = two_versions(storage)
    status, printed, err = shards(capsys, root, "--kind", "faces", "--split", "train")
    assert (status, err) == (0, "")
    assert printed == [f"{root}/{tar}" for tar in tars(new, "train-faces")]
    for snapshot in (old, new):
        relative = list_of(storage, snapshot, "train-faces")
        assert list_of(storage, snapshot, "train-faces.urls") == [f"{root}/{tar}" for tar in relative]
    monkeypatch.setitem(wds.gopen_schemes, "memory", lambda url, mode="rb", bufsize=8192: fsspec.open(url, mode).open())
    assert identities(printed) == {f"id{n:05d}" for n in range(8)}
    assert verify(storage) == []
    copied = open_storage("memory://other/lists")
    for key in storage.keys(""):
        copied.commit(key, storage.read(key))
    assert {problem.key for problem in verify(copied)} == {
        key for key in storage.keys("snapshots") if key.endswith(".urls.txt")
    }
    rebuild(copied)
    assert verify(copied) == []


def test_roots_of_older_versions_have_no_lists_and_get_them_with_the_next_version(
    small: SmallRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    old = small.publish()
    root = Path(small.storage.url)
    shutil.rmtree(root / "snapshots" / old.id)
    (root / README_KEY).unlink()
    status, printed, err = shards(capsys, root, "--kind", "speech")
    assert (status, len(printed), err) == (0, sum(entry.kind == "speech" for entry in old.shards), "")
    assert verify(small.storage) == []
    assert not (root / "snapshots" / old.id).exists()  # asking writes nothing
    two_versions(small.storage)
    assert list_of(small.storage, old, "train-faces") == tars(old, "train-faces")
    assert (root / README_KEY).exists()


@pytest.mark.long
@pytest.mark.parametrize("damage", ["changed", "gone", "too many", "of no version"])
def test_a_list_that_differs_is_found_and_repaired(
    small: SmallRoot, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    snapshot = small.publish()
    key = f"snapshots/{snapshot.id}/train-faces.txt"
    before = small.storage.read(key)
    match damage:
        case "changed":
            small.storage.commit(key, before + b"shards/train-faces-b0000-b2047-0000000000000000.tar\n")
        case "gone":
            small.storage.delete(key)
        case _:
            folder = snapshot.id if damage == "too many" else "deadbeefdeadbeef"
            key = f"snapshots/{folder}/dev-faces.txt"
            small.storage.commit(key, before)
    (problem,) = verify(small.storage)
    assert (problem.kind, problem.key, "voxdata catalog rebuild" in problem.message) == ("catalog", key, True)
    assert main(["repair", "--root", small.storage.url]) == 0
    assert verify(small.storage) == []
    assert small.storage.exists(key) == (damage in ("changed", "gone"))


def test_a_version_that_lost_all_its_lists_is_found_and_repaired(small: SmallRoot) -> None:
    old, new = two_versions(small.storage)
    lost = {key for key in small.storage.keys(f"snapshots/{old.id}") if key.endswith(".txt")}
    for key in lost:
        small.storage.delete(key)
    small.storage.commit(f"snapshots/{new.id}.notes.txt", b"not a list\n")
    found = verify(small.storage)
    assert {problem.key for problem in found if "list is gone" in problem.message} == lost != set()
    assert main(["repair", "--root", small.storage.url]) == 0
    assert all(list_of(small.storage, old, name) == tars(old, name) for name in LISTS if tars(old, name))
    assert small.storage.exists(f"snapshots/{new.id}.notes.txt")


def test_lists_go_with_their_snapshot(small: SmallRoot, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = two_versions(small.storage)
    tag(small.storage, "paper", old.id, at=AT)
    root = small.storage.url
    assert main(["gc", "--root", root, "--older-than", "0", "--yes"]) == 0
    superseded = {entry.tar for entry in old.shards} - {entry.tar for entry in new.shards}
    tars_there = [key for key in small.storage.keys("shards") if key.endswith(".tar")]
    said = f"{len(superseded)} of {len(tars_there)} tars that stay under shards/ are not of the current version"
    assert said in capsys.readouterr().out
    assert small.storage.exists(f"snapshots/{old.id}/train-faces.txt")
    main(["tag", "paper", "--delete", "--root", root])
    capsys.readouterr()
    os.utime(Path(root, f"snapshots/{old.id}.json"), (0, 0))
    now = small.storage.stat(f"snapshots/{old.id}/train-faces.txt")[1]
    assert collect(small.storage, older_than_s=3600, now_s=now).snapshots == (old.id,)  # whose lists are young
    assert small.storage.keys(f"snapshots/{old.id}") == []
    assert list_of(small.storage, new, "train-faces") == tars(new, "train-faces")
    assert small.storage.exists(README_KEY)
    assert main(["gc", "--root", root, "--older-than", "0", "--yes"]) == 0
    assert "not of the current version" not in capsys.readouterr().out
    assert [each.id for each in list_snapshots(small.storage)] == [new.id]


@pytest.mark.long
def test_forgetting_somebody_rewrites_the_lists_of_all_versions(
    small: SmallRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    two_versions(small.storage)
    root = small.storage.url
    for person in ("id00003", "id00008"):  # of both versions; alone in the test split of the first
        assert main(["forget", person, "--reason", "x", "--root", root, "--yes"]) == 0
    capsys.readouterr()
    for snapshot in list_snapshots(small.storage):
        keys = small.storage.keys(f"snapshots/{snapshot.id}")
        assert keys == [f"snapshots/{snapshot.id}/{name}.txt" for name in LISTS if tars(snapshot, name)]
        for key in keys:
            listed = small.storage.read(key).decode().splitlines()
            assert all(small.storage.exists(tar) for tar in listed)
            assert identities([f"{root}/{tar}" for tar in listed]).isdisjoint({"id00003", "id00008"})
    assert verify(small.storage) == []
    assert main(["verify", "--forgotten", "--root", root]) == 0


def test_a_version_in_which_nobody_is_left(small: SmallRoot, capsys: pytest.CaptureFixture[str]) -> None:
    small = SmallRoot(small.storage, people=1)
    small.publish()
    assert main(["forget", "id00000", "--reason", "x", "--root", small.storage.url, "--yes"]) == 0
    status, printed, err = shards(capsys, small.storage.url)
    assert (status, printed, err.endswith("has no shards\n"), err.count("\n")) == (1, [], True, 1)
    assert not [key for key in small.storage.keys("snapshots") if key.endswith(".txt")]
