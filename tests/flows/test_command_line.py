"""What is true of all commands: help, examples, suggestions, roots, JSON, completion, and how little help imports."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cyclopts import App
from rich.console import Console

from flows.cli import app, main
from flows.cli.options import ROOT_VARIABLE
from voxdata.catalog.query import format_table, json_text

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "prefect", "mediapipe", "duckdb", "pyarrow", "numpy", "cv2"}
WAYS = "--root DIR or VOXDATA_ROOT"


def walk(node: App, *words: str) -> Iterator[tuple[tuple[str, ...], App]]:
    for word, child in node.resolved_commands().items():
        if word not in (*node.help_flags, *node.version_flags):
            yield (*words, word), child
            yield from walk(child, *words, word)


COMMANDS = dict(walk(app))


def ran(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main([str(word) for word in words])
    said = capsys.readouterr()
    return status, said.out, said.err


def parses(line: str) -> None:
    """The words of one `voxdata …` as a shell hands them over."""
    words = app.meta.parse_known_args(shlex.split(line, comments=True)[1:])[1].arguments.get("words", ())
    if "--help" not in words and "--version" not in words:
        app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_says_what_a_command_does_and_ends_with_an_example_that_parses(
    words: Sequence[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (app, app.meta):  # whose consoles keep the width that COLUMNS had when somebody first needed one
        monkeypatch.setattr(each, "console", Console(width=200))
    status, out, err = ran(capsys, *words, "--help")
    assert (status, err) == (0, "")
    (example,) = re.findall(r"^Example: (.+)$", out, flags=re.MULTILINE)
    assert example.split()[1 : 1 + len(words)] == list(words) or words == ("weights",)
    for line in example.split(" && "):
        parses(line)
    about = out.partition("\n\n")[2].partition("\n\n")[0].strip()
    assert len(about.split()) > 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dif"], 'voxdata: unknown command "dif". Did you mean "diff"?; see: voxdata --help'),
        (
            ["weights", "lst"],
            'voxdata weights: unknown command "lst". Did you mean "list"?; see: voxdata weights --help',
        ),
        (["diff", "a", "--snapshoot", "x"], "voxdata diff: unknown option: --snapshoot"),
        (
            ["stats", "--rot", "x"],
            "voxdata stats: --root is missing. Did you mean --root instead of --rot?; see: ",
        ),
        (["sql", "--format", "jsn"], 'Did you mean "json"?'),
        (["stats", "one", "--root", "x"], "voxdata stats: nothing is known of 'one' here; see: voxdata stats --help"),
        (["stats", "--root", "x", "#", "this", "one"], "# for a word: in zsh, setopt interactive_comments makes it"),
        (["sql", "select", "1", "--root", "x"], "nothing is known of '1' here: put the SQL between quotes; see: "),
        (["diff", "--root", "x"], "voxdata diff: BEFORE is missing; see: voxdata diff --help"),
        (["diff", "a", "--root"], "voxdata diff: --root needs a value; see: voxdata diff --help"),
        (["train", "sf2f", "--root", "x", "--seed", "one"], "voxdata train: invalid value for --seed: "),
        (["aliases", "--root", "x", "--confirm", "one"], "voxdata aliases: --confirm requires 2"),
        ([], "voxdata: which command? there are check, build, "),
        (["weights"], "voxdata weights: which command? there are list, pull, import, verify, path; see: "),
        (["gc", "--root", "x", "--json"], "voxdata gc: --json cannot ask; add --dry-run to look, or --yes to delete\n"),
    ],
)
def test_a_mistake_is_one_line_with_status_2(
    words: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = ran(capsys, *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err


@pytest.mark.parametrize("signalled", [KeyboardInterrupt(), RuntimeError("Query interrupted")])
def test_an_interruption_is_one_line_with_status_130(
    signalled: BaseException, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise signalled

    monkeypatch.setattr("voxdata.store.storage.open_storage", interrupted)
    said = "voxdata stats: interrupted; what was committed stays, the same command resumes there\n"
    assert ran(capsys, "stats", "--root", "x") == (130, "", said)


@pytest.mark.parametrize(
    ("short", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files", "x"), "ulimit -n 4096"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "free some"),
        (MemoryError(), "free some"),
    ],
)
def test_what_the_system_has_no_more_of_is_one_line(
    short: BaseException, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise short

    monkeypatch.setattr("voxdata.store.storage.open_storage", refused)
    status, out, err = ran(capsys, "stats", "--root", "x")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert said in err
    assert "run the same command again" in err


def test_quiet_stands_before_or_behind_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ran(capsys, "recipes")
    assert shown[0] == 0
    assert "hq-voxceleb" in shown[1]
    assert ran(capsys, "--quiet", "recipes") == ran(capsys, "recipes", "--quiet") == shown


def test_the_root_is_the_option_then_the_variable_then_the_current_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("option", "variable", "here", "empty"):
        (tmp_path / name / "snapshots").mkdir(parents=True)
    (tmp_path / "empty" / "snapshots").rmdir()

    def root(*words: str) -> str:
        status, _, err = ran(capsys, *words)
        return err if status == 2 else re.findall(r"nothing is published under (\S+);", err)[0]

    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "variable"))
    assert root("stats", "--root", str(tmp_path / "option")) == str(tmp_path / "option")
    assert root("stats") == str(tmp_path / "variable")
    monkeypatch.setenv(ROOT_VARIABLE, "")
    assert root("stats") == str(tmp_path / "here")
    monkeypatch.delenv(ROOT_VARIABLE)
    assert root("stats") == str(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "empty")
    for words in (["stats"], ["sql", "from funnel"], ["diff", "a"]):
        missing = root(*words)
        assert f"{WAYS}, or run the command in its folder" in missing
        assert missing.count("\n") == 1


@pytest.mark.parametrize("words", [["build", "demo"], ["import", "lfw", "photos"]])
def test_a_folder_does_not_become_a_dataset_because_a_build_starts_in_it(
    words: Sequence[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "snapshots").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    status, _, err = ran(capsys, *words)
    assert status == 2
    assert f"voxdata {words[0]}: --root is missing; name the dataset's folder with {WAYS}; see:" in err
    assert [path.name for path in tmp_path.iterdir()] == ["snapshots"]


@pytest.mark.parametrize("module", ["voxdata", "flows.cli"])
def test_help_and_mistakes_import_nothing_heavy(module: str, tmp_path: Path) -> None:
    program = (
        "import contextlib, io, runpy, sys\n"
        "for words in (['--help'], ['train', '--help'], ['stats'], ['sql', '--format', 'x'], ['dif'], ['import']):\n"
        "    sys.argv = ['voxdata', *words]\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        f"        runpy.run_module({module!r}, run_name='__main__', alter_sys=False)\n"
        f"print(sorted(set({sorted(HEAVY)!r}) & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
    assert done.stderr.count("voxdata: unknown command") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ZSH", raising=False)
    monkeypatch.delenv("ZSH_CUSTOM", raising=False)
    status, out, _ = ran(capsys, "--install-completion", "--shell", shell)
    assert status == 0
    place = Path(out.partition(" completes ")[0])
    assert place.is_relative_to(tmp_path)
    script = place.read_text()
    assert all(word in script for word in ("redecide", "dry-run", "weights"))
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(place)], check=True)


def test_where_completion_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".local").write_text("a file where a folder must be")
    monkeypatch.setenv("HOME", str(tmp_path))
    status, out, err = ran(capsys, "--install-completion", "--shell", "bash")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "the completion cannot be written" in err


def test_json_has_no_word_that_json_has_not() -> None:
    def refuse(word: str) -> Any:
        raise AssertionError(word)

    table = pa.table({"x": [1.5, float("nan"), float("inf"), None], "y": [[float("-inf")], [], None, [2.0]]})
    rows = [{"x": 1.5, "y": [None]}, {"x": None, "y": []}, {"x": None, "y": None}, {"x": None, "y": [2.0]}]
    assert json.loads(str(format_table(table, "json")), parse_constant=refuse) == rows
    assert json.loads(json_text({"table": table}), parse_constant=refuse) == {"table": rows}


def test_recipes_and_queries_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(ran(capsys, "recipes", "--json")[1])
    assert {"name", "description"} == set(listed[0])
    resolved = json.loads(ran(capsys, "recipes", "hq-voxceleb", "--set", "faces.pose.max_angle_deg=8", "--json")[1])
    assert resolved["faces"]["pose"]["max_angle_deg"] == 8
    queries = json.loads(ran(capsys, "sql", "--query", "list", "--json")[1])
    assert {query["name"]: query["compares"] for query in queries}.items() >= {"funnel": False, "drift": True}.items()


@pytest.mark.long
def test_what_is_listed_of_a_root_is_json(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)

    def asked(*words: str) -> Any:
        status, out, _ = ran(capsys, *words, "--json", "--root", copy)
        assert status == 0
        return json.loads(out)

    (snapshot,) = asked("snapshots")
    assert snapshot.keys() == {"id", "name", "current", "tags", "counts", "published_at", "redacted"}
    assert asked("tag", "paper") == {"name": "paper", "snapshot": snapshot["id"], "before": None}
    assert asked("tag") == [{"name": "paper", "snapshot": snapshot["id"]}]
    assert asked("snapshots")[0]["tags"] == ["paper"]
    splits = {row["split"]: row["identities"] for row in asked("stats")["splits"]}
    assert splits["test"] == snapshot["counts"]["test"]["identities"]
    assert asked("verify") == {"root": str(copy), "sound": True, "problems": []}
    assert asked("verify", "--forgotten")["left"] == []
    assert asked("optout") == []
    assert asked("aliases", "--all") == []
    assert asked("models") == []
    assert asked("originals", "status").keys() == {"held", "held_bytes", "dropped", "unpublished"}
    changed = asked("diff", "paper")
    assert changed.keys() == {"before", "after", "people", "totals", "redecided", "drift"}
    assert changed["people"] == {"added": [], "dropped": []}
    (rows,) = asked("sql", "select count(*) as n, 'nan'::double as x from samples")
    assert rows["n"] > 0
    assert rows["x"] is None
    garbage = asked("gc", "--older-than", "0", "--dry-run")
    assert (garbage["deleted"], list(garbage["kept"])) == (False, [snapshot["id"]])
    person = asked("sql", "select person from samples order by person limit 1")[0]["person"]
    plan = asked("forget", person, "--dry-run")
    assert plan["person"] == person
    assert plan["photos"] > 0
    assert [each["id"] for each in plan["snapshots"]] == [snapshot["id"]]


def test_a_dry_run_deletes_nothing_even_with_yes(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    left = copy / "shards" / "left-over.tar"
    left.write_bytes(b"left over")
    os.utime(left, (0, 0))
    status, out, _ = ran(capsys, "gc", "--root", copy, "--dry-run", "--yes")
    assert (status, left.exists(), "nothing was changed" in out) == (0, True, True)
    assert ran(capsys, "gc", "--root", copy, "--yes")[0] == 0
    assert not left.exists()
