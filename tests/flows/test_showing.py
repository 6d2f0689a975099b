"""`voxdata info` and `voxdata show`: what they say, their pictures in terminals and files, whom they leave out."""

from __future__ import annotations

import base64
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli.terminal_pictures import by_environment, iterm2, kitty, sixels
from flows.showing import default_file
from tests.flows.building import Voxdata
from tests.flows.trained_root import PEOPLE, SMALL, pairs, publish_people, train
from voxdata.catalog.query import run_query
from voxdata.forgetting.outputs import known
from voxdata.format.errors import StorageError
from voxdata.store.storage import LocalStorage, open_storage

NOBODY = "they show no real person and identify nobody"


@pytest.fixture
def own(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the root that a test may change; pictures go into the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(root, tmp_path / "root")
    return tmp_path / "root"


def portrait(root: Path) -> dict[str, str]:
    row: dict[str, str] = run_query(open_storage(root), "FROM portraits ORDER BY key LIMIT 1").to_pylist()[0]
    return row


def asked(here: Voxdata, *words: str) -> tuple[dict[str, object], str]:
    done = here(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_info_counts_what_the_version_holds(own: Path, here: Voxdata) -> None:
    said, _ = asked(here, "info", "--root", str(own))
    stats, _ = asked(here, "stats", "--root", str(own))
    assert said["version"] == stats["snapshot"]
    splits = {row["split"]: row for row in stats["splits"]}  # type: ignore[attr-defined]
    assert said["people"] == {split: splits[split]["identities"] for split in ("train", "val", "test")}
    assert said["opted_out_since"] == 0
    printed = here("info", "--root", str(own)).stdout
    assert re.search(rf"^version +{said['version']}$", printed, re.MULTILINE)


def test_info_says_what_to_do_next(own: Path, here: Voxdata, tmp_path: Path) -> None:
    assert here("optout", portrait(own)["person"], "--reason", "letter 1", "--root", str(own)).returncode == 0
    said, _ = asked(here, "info", "--root", str(own))
    assert said["opted_out_since"] == 1
    assert str(said["next"]).startswith("voxdata redecide --root")
    empty = tmp_path / "empty"
    (empty / "fragments").mkdir(parents=True)
    said, _ = asked(here, "info", "--root", str(empty))
    assert (said["version"], str(said["next"]).startswith("voxdata build")) == (None, True)


def test_a_face_is_shown_with_its_measurements_and_its_portrait(own: Path, here: Voxdata) -> None:
    row = portrait(own)
    facts, _ = asked(here, "show", "face", row["key"], "--root", str(own), "--out", "face.png")
    assert (facts["face_id"], facts["face_angle_deg"]) == (row["key"], pytest.approx(row["face_angle_deg"]))
    with Image.open("face.png") as picture:
        assert picture.size == (row["size_px"], row["size_px"])


def test_a_person_is_found_by_name_and_shown_with_all_portraits(own: Path, here: Voxdata) -> None:
    row = portrait(own)
    facts, _ = asked(here, "show", "person", row["name"].upper(), "--root", str(own), "--out", "person.png")
    assert facts["person"] == row["person"]
    with Image.open("person.png") as picture:
        assert picture.width // picture.height == facts["portraits"]


def test_the_nearest_names_of_a_misspelt_one_are_of_people_who_may_be_shown(own: Path, here: Voxdata) -> None:
    row = portrait(own)
    misspelt = f"{row['name'][:-1]}qq"
    ask = ["show", "person", misspelt, "--root", str(own)]
    assert f"the nearest are {row['person']} ({row['name']})" in here(*ask).stderr
    assert here("optout", row["person"], "--reason", "letter 1", "--root", str(own)).returncode == 0
    said = here(*ask).stderr.replace(misspelt, "")
    assert "there is nobody called" in said
    assert row["person"] not in said
    assert row["name"] not in said


def test_a_photo_is_shown_whole_and_a_clip_by_its_mel(own: Path, here: Voxdata) -> None:
    photo = portrait(own)["photo_sha256"]
    facts, _ = asked(here, "show", "photo", photo[:16], "--root", str(own), "--out", "photo.png")
    with Image.open("photo.png") as picture:
        assert facts["photo_width_px"] / facts["photo_height_px"] == pytest.approx(picture.width / picture.height, 0.02)  # type: ignore[operator]
    (clip,) = run_query(open_storage(own), "SELECT key FROM speech ORDER BY key LIMIT 1")["key"].to_pylist()
    facts, _ = asked(here, "show", "clip", clip, "--root", str(own), "--out", "clip.png")
    assert facts["utterance_id"] == clip
    with Image.open("clip.png") as picture:
        assert picture.width > 50


def test_a_file_of_a_picture_is_noted_and_goes_with_the_person(own: Path, here: Voxdata) -> None:
    row = portrait(own)
    asked(here, "show", "person", row["person"], "--root", str(own), "--out", "person.png")
    assert [Path(output.path).name for output in known(open_storage(own))] == ["person.png"]
    assert here("forget", row["person"], "--yes", "--reason", "letter 1", "--root", str(own)).returncode == 0
    assert not Path("person.png").exists()


@pytest.mark.parametrize("kind", ["person", "photo", "face", "clip"])
def test_who_opted_out_is_not_shown(kind: str, own: Path, here: Voxdata) -> None:
    row = portrait(own)
    (clip,) = run_query(open_storage(own), f"SELECT min(key) AS key FROM speech WHERE person = '{row['person']}'")[
        "key"
    ].to_pylist()
    names = {"person": row["person"], "photo": row["photo_sha256"], "face": row["key"], "clip": clip}
    shown = ["show", kind, names[kind], "--root", str(own)]
    assert here(*shown).returncode == 0
    assert here("optout", row["person"], "--reason", "letter 1", "--root", str(own)).returncode == 0
    done = here(*shown)
    assert (done.returncode, done.stdout) == (1, "")
    assert "may be shown" in done.stderr
    assert done.stderr.count("\n") == 1


def test_in_a_pipe_no_picture_is_written_unasked(own: Path, here: Voxdata, tmp_path: Path) -> None:
    done = here("show", "face", portrait(own)["key"], "--root", str(own))
    assert "\x1b" not in done.stdout
    assert done.stderr == "the portrait, or the face in its photo: add --out FILE.png\n"
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.long
def test_a_terminal_that_can_shows_the_picture(own: Path) -> None:
    row = portrait(own)
    said = in_terminal(own, "show", "face", row["key"], TERM="xterm-kitty")
    chunks = re.findall(r"\x1b_G[^;]*;([^\x1b]*)\x1b\\", said)
    with Image.open(io.BytesIO(base64.b64decode("".join(chunks)))) as picture:
        assert picture.size == (row["size_px"], row["size_px"])
    said = in_terminal(own, "show", "face", row["key"], TERM="dumb")
    assert "\x1b" not in said
    (place,) = own.glob("face-*.png")
    assert f"{place.name}: the portrait" in said
    assert row["key"].replace("/", "-") in place.name
    in_terminal(own, "show", "face", row["key"], TERM="dumb")  # over its own file
    other = place.with_name(place.name.replace("face-", "photo-").replace(row["key"].replace("/", "-"), "12345678"))
    assert not other.exists()


def test_a_picture_goes_over_no_file_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = open_storage(tmp_path / "root", create=True)
    assert default_file(storage, "face", "a/b") == Path("face-a-b.png")
    Path("face-a-b.png").write_bytes(b"mine")
    with pytest.raises(
        StorageError, match=r"face-a-b\.png is there and was not written from .*; name another file with"
    ):
        default_file(storage, "face", "a/b")


@pytest.mark.long
def test_a_table_fits_the_terminal_and_is_whole_in_a_pipe(own: Path, here: Voxdata) -> None:
    query = ["sql", "FROM portraits", "--root", str(own), "--quiet"]
    lines = in_terminal(own, *query, TERM="dumb", COLUMNS="70", LINES="30").splitlines()
    assert max(map(len, lines[:-1])) <= 70
    assert "no room for" in "".join(lines)
    columns = in_terminal(own, *query, "--columns", "key,split", TERM="dumb", COLUMNS="70").splitlines()
    assert columns[0].split() == ["key", "split"]
    piped = here(*query).stdout
    assert portrait(own)["photo_sha256"] in piped
    assert here(*query, "--columns", "key,splt").stderr.rstrip().endswith("did you mean split?")


def test_a_terminal_shows_how_far_a_check_of_every_byte_is_and_quiet_does_not(own: Path) -> None:
    shards = len(list((own / "shards").glob("*.tar")))
    assert f"{shards}/{shards}" in in_terminal(own, "verify", TERM="xterm-256color")
    assert f"{shards}/{shards}" not in in_terminal(own, "verify", "--quiet", TERM="xterm-256color")


def in_terminal(folder: Path, *words: str, **environment: str) -> str:
    """What a command writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    variables = {k: v for k, v in os.environ.items() if k not in ("TMUX", "KITTY_WINDOW_ID", "TERM_PROGRAM")}
    with subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={**variables, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            said += part
        assert process.wait() == 0, said
    os.close(ours)
    return said.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("environment", "shower"),
    [
        ({"TERM": "xterm-kitty"}, kitty),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, kitty),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, iterm2),
        ({"TERM": "yaft-256color-sixel"}, sixels),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1"}, None),
        ({}, None),
    ],
)
def test_the_environment_tells_the_protocol(environment: dict[str, str], shower: object) -> None:
    assert by_environment(environment) is shower


def test_sixels_say_the_picture() -> None:
    pixels = np.zeros((13, 17, 3), np.uint8)
    pixels[:, 9:] = (255, 0, 0)
    pixels[7:, :4] = (0, 0, 255)
    assert np.array_equal(decoded(sixels(Image.fromarray(pixels))), pixels)


def decoded(text: str) -> np.ndarray:
    """Sixels as a terminal reads them."""
    width, height = map(int, re.match(r'\x1bPq"1;1;(\d+);(\d+)', text).groups())  # type: ignore[union-attr]
    found = np.zeros((height + 6, width, 3), np.uint8)
    palette: dict[int, tuple[int, ...]] = {}
    x = top = colour = 0
    for word in re.findall(r"#\d+(?:;2;\d+;\d+;\d+)?|!\d+[?-~]|[?-~]|[$-]", text.partition(f";{height}")[2][:-3]):
        if word.startswith("#"):
            colour, *shade = [int(part) for part in word[1:].split(";")]
            if shade:
                palette[colour] = tuple(round(part * 255 / 100) for part in shade[1:])
        elif word in "$-":
            x, top = 0, top + 6 * (word == "-")
        else:
            count = int(word[1:-1]) if word.startswith("!") else 1
            for bit in range(6):
                if (ord(word[-1]) - 63) >> bit & 1:
                    found[top + bit, x : x + count] = palette[colour]
            x += count
    return found[:height]


@pytest.mark.long
def test_a_run_is_shown_with_what_its_faces_are(tmp_path: Path, here: Voxdata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = publish_people(tmp_path / "root", "s1", PEOPLE, "2026-01-01T00:00:00Z")
    train(root=storage.url, system="sf2f", run=str(storage.local("runs/one")), seconds=3, settings=pairs(SMALL))
    facts, said = asked(here, "show", "run", "one", "--root", storage.url, "--out", "run.png")
    assert (facts["run"], facts["status"], NOBODY in str(facts["note"])) == ("one", "finished", True)
    assert NOBODY in said
    assert Path("run.png").is_file()
    assert [output.kind for output in known(LocalStorage(storage.path))] == ["picture"]
    (person,) = run_query(storage, "SELECT min(person) AS person FROM samples WHERE split = 'train'")["person"]
    assert here("optout", str(person), "--reason", "letter 1", "--root", storage.url).returncode == 0
    done = here("show", "run", "one", "--root", storage.url, "--out", "again.png")
    assert "opted out since" in done.stdout
    assert not Path("again.png").exists()
