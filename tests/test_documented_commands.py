"""Every command of README, CONTRIBUTING and docs/ is one, and what can be run is run as it stands, page by page.

tests/documented.py says which marker means what. The blocks of a page are run in order, each in a shell of its own, in
a folder that looks like a checkout in which somebody follows README: `corpus/` is simulated, `photos/`, `wav/` and
`vox1_meta.csv` are its own, `someone.wav` is one of its clips, `DATA` is the dataset that README's commands leave, with
the run `first`. The status counts, and what a page marks as
printed; docs/questions.md, all of whose answers are compared, has tests/flows/test_questions.py.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template

import duckdb
import pytest
from cyclopts.exceptions import CycloptsError, MissingArgumentError
from prefect.cli._app import _app as prefect_app

from flows.cli import app
from flows.cli.options import ROOT_VARIABLE
from tests.documented import (
    PAGES,
    READ,
    REPOSITORY,
    RUN,
    Block,
    PageError,
    blocks,
    command_lines,
    hidden_commands,
    not_printed,
    sizes,
    spans,
)
from tests.flows.deployed import free_port
from voxdata.simulate.corpus import CorpusSettings, write_corpus

README = PAGES[0]
SMALLER = {"TRAIN_S": "2", "EMBEDDER_STEPS": "3"}  # of what a page lets be set, in place of minutes
PEOPLE = (
    "PEOPLE"  # how many the tutorial has, if that is set for a test: then its figures are others, and none is compared
)
SOME_ID = "12345678-1234-5678-1234-567812345678"
PER_PAGE = {"argvalues": PAGES, "ids": lambda page: str(page.relative_to(REPOSITORY))}


def taken(words: list[str]) -> None:
    """A command is one that there is, with options that it has. Raises what the parser raises, or `PageError`."""
    program, *rest = [word for word in words if word != "…"]
    if program == "voxdata" or rest[:2] == ["-m", "voxdata"]:
        given = app.meta.parse_known_args(rest[2 if program == "python" else 0 :])[1].arguments.get("words", ())
        if "--help" not in given:
            app.parse_args(given, exit_on_error=False, print_error=False)
    elif program == "prefect":
        given = [SOME_ID if word in ("ID", "SCHEDULE_ID") else word for word in rest if word != "--no-prompt"]
        prefect_app.parse_args(given, exit_on_error=False, print_error=False)
    elif program == "make":
        if not re.search(rf"^{rest[0]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE):
            raise PageError(f"the Makefile has no target {rest[0]}")
    elif rest[0] == "-c":
        compile(rest[1], "-c", "exec")
    elif rest != ["-P"]:
        _script_has_options(rest)


def _script_has_options(words: list[str]) -> None:
    """Of `python FILE …` and `python -m MODULE …`: it is there, and it or a module beside it names each option."""
    named = words[words.index("-m") + 1].replace(".", "/") if "-m" in words else words[0]
    there = [REPOSITORY / name for name in (named, f"{named}.py", f"{named}/__main__.py")]
    script = next((path for path in there if path.is_file()), None)
    if script is None:
        raise PageError(f"there is no {named}")
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(script.parent.rglob("*.py")))
    at = words.index("-m") + 2 if "-m" in words else 1
    missing = [word for word in words[at:] if word.startswith("--") and f'"{word}"' not in sources]
    if missing:
        raise PageError(f"{named} has no {', '.join(missing)}")


def refused(page: Path) -> dict[str, str]:
    """The commands of a page that no parser takes, with the reason. A sentence may leave out arguments, a block not."""
    wrong = {}
    scripts = [Template(block.as_run).safe_substitute(sizes(page)) for block in blocks(page) if block.language == "sh"]
    lines = [words for script in scripts for words in command_lines(script)]
    said = [words for span in spans(page) for words in command_lines(span.replace("|", "\\|"))]
    for words, complete in [*((line, True) for line in lines), *((line, False) for line in said)]:
        for choice in _choices(words):
            try:
                taken(choice)
            except MissingArgumentError as error:
                if complete:
                    wrong[" ".join(choice)] = str(error)
            except (CycloptsError, PageError) as error:
                wrong[" ".join(choice)] = str(error)
    return wrong


def _choices(words: list[str]) -> Iterator[list[str]]:
    """`weights pull|import` is two commands."""
    some = next((at for at, word in enumerate(words) if re.fullmatch(r"[a-z]+(\|[a-z]+)+", word)), None)
    if some is None:
        yield words
    else:
        for choice in words[some].split("|"):
            yield [*words[:some], choice, *words[some + 1 :]]


@pytest.mark.parametrize("page", **PER_PAGE)
def test_every_command_is_one(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, "data")
    assert refused(page) == {}


@pytest.mark.parametrize("page", **PER_PAGE)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    assert [f"{block}: {block.language!r}" for block in blocks(page) if block.language not in (*RUN, *READ)] == []
    assert hidden_commands(page) == []
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, str(block), "exec")
        elif block.language == "sql":
            duckdb.extract_statements(block.as_run)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("```sh\nvoxdata stats --rot x\n```\n", {"voxdata stats --rot x"}),
        ("<!-- not run: why -->\n```sh\nvoxdata stats --root x | voxdata dif a\n```\n", {"voxdata dif a"}),
        ("```sh\nvoxdata diff --root x\n```\n", {"voxdata diff --root x"}),
        ("Call `voxdata diff`, `voxdata weights pull|imprt`.\n", {"voxdata weights imprt"}),
        (
            "`make nothing`, `python benchmarks/face_accuracy.py --olny pose`\n",
            {"make nothing", "python benchmarks/face_accuracy.py --olny pose"},
        ),
        ("`prefect work-pool create p --concurrency-limit 2`\n", {"prefect work-pool create p --concurrency-limit 2"}),
    ],
)
def test_a_command_that_is_none_is_found(text: str, wrong: set[str], tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(text)
    assert set(refused(tmp_path / "page.md")) == wrong


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("<!-- run: later -->\n```sh\nvoxdata recipes\n```\n", "'run: later' is no marker"),
        ("<!-- run: with `a` for `z` -->\n```sh\nvoxdata recipes\n```\n", "page.md:2: the marker replaces 'z'"),
    ],
)
def test_a_marker_that_says_nothing_is_refused(text: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(text)
    with pytest.raises(PageError, match=error):
        refused(tmp_path / "page.md")


def test_commands_where_nothing_reads_them_are_found(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("Do:\n\n    voxdata stats\n\n```text\n$ make demo\nvoxdata/ a folder\n```\n")
    assert hidden_commands(tmp_path / "page.md") == ["voxdata stats", "$ make demo"]


TABLE = "outcome  items\n───────  ─────\nkept        12\n(1 row)\n"


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        (TABLE, None),
        (TABLE.replace("12", "13"), "kept        13"),
        (TABLE.replace("outcome", "result"), "result  items"),
        ("outcome  items\n…\n", None),
        ("…\nkept        12\n…\n", None),
        ("…\nkept        13\n…\n", "kept        13"),
        ("…\nkept        12\n", "(1 row)"),
        ("", "outcome items"),
        (f"{TABLE}more\n", "more"),
    ],
)
def test_what_a_page_shows_is_held_against_what_was_printed(shown: str, line: str | None) -> None:
    assert not_printed(shown, TABLE, any_numbers=False) == line


def test_numbers_may_be_others_where_less_was_run_and_words_may_not() -> None:
    one, other = "loss -0.61 [0.2, 1.0] in 777c56c31e80d8f4", "loss 3 [10, 1.25] in c1c0fa1b674ec917"
    assert not_printed(one, other, any_numbers=True) is None
    assert not_printed(one, other, any_numbers=False) == one
    assert not_printed(one, other.replace("loss", "gain"), any_numbers=True) == one
    assert not_printed("in 777c56c31e80d8f4", "in c1c0fa1b674ec917", any_numbers=False) is None


# What is called in place of commands that do not end by themselves: a page is asked for and interrupted, a server and
# its workers go on until the page of the documentation is through.
PRELUDE = """
voxdata() {
  case "$1 ${2-}" in
    serve*|browse*|review*|"simulate serve") python "$ASK_PAGE" "$VOXDATA" "$@" ;;
    *) "$VOXDATA" "$@" ;;
  esac
}
prefect() {
  case "$1 $2" in
    "server start"|"worker start")
      setsid "$PREFECT" "$@" >> "$STARTED.log" 2>&1 < /dev/null & echo $! >> "$STARTED"
      if [ "$1" = server ]; then
        curl --silent --fail --output /dev/null --retry 90 --retry-delay 1 --retry-all-errors "$PREFECT_API_URL/health"
      fi ;;
    *) "$PREFECT" "$@" ;;
  esac
}
set -euo pipefail
"""
ASK_PAGE = """
import re, signal, subprocess, sys, urllib.request
serving = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
for line in serving.stdout:
    if found := re.search(r"http://\\S+", line):
        break
else:
    sys.exit(serving.wait() or "it served no page")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
assert opener.open(found[0], timeout=30).status == 200
serving.send_signal(signal.SIGINT)
sys.exit(serving.wait() not in (0, 130))
"""


class Folder:
    """A folder that looks like a checkout with somebody's data in it, and the processes that run there."""

    def __init__(self, path: Path, dataset: Path | None = None) -> None:
        self.path = path
        self.home = path / "home"
        self.home.mkdir(parents=True)
        for entry in REPOSITORY.iterdir():
            if entry.name not in (".venv", ".git"):
                (path / entry.name).symlink_to(entry)
        (path / ".venv").symlink_to(sys.prefix)
        if dataset is not None:
            shutil.copytree(dataset, path / "DATA", symlinks=True)
        (self.home / "ask_page.py").write_text(ASK_PAGE)
        programs = Path(sys.executable).parent
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "VOXDATA_"))},
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(self.home),
            "SHELL": "/bin/bash",
            "VOXDATA": str(programs / "voxdata"),
            "PREFECT": str(programs / "prefect"),
            "ASK_PAGE": str(self.home / "ask_page.py"),
            "STARTED": str(self.home / "started"),
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "HF_HUB_OFFLINE": "1",
            **SMALLER,
        }

    def with_corpus(self, corpus: Path) -> Folder:
        """`corpus/`, and what README calls one's own data, are the simulated people."""
        (self.path / "corpus").symlink_to(corpus)
        for name in ("photos", "wav", "vox1_meta.csv"):
            (self.path / name).symlink_to(corpus / name)
        (self.path / "someone.wav").symlink_to(sorted((corpus / "wav").rglob("*.wav"))[0])
        return self

    def with_server(self) -> Folder:
        """The port and the home of the server that the page starts, and where its workers find the checkout."""
        port = free_port()
        self.environment |= {
            "PREFECT_HOME": str(self.home / "prefect"),
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "VOXDATA_HOME": str(self.path),
        }
        return self

    def follow(self, some: list[Block]) -> None:
        """Run the blocks of a page in their order, and hold what they print against what the page shows."""
        printed, other = "", False
        for block in some:
            if block.server and "PREFECT_API_URL" not in self.environment:
                self.with_server()
            if block.is_run:
                other = bool(block.swaps) or any(f"${name}" in block.text for name in SMALLER)
                printed = self.run(block)
            elif block.printed and PEOPLE not in os.environ:
                line = not_printed(block.text, printed, any_numbers=other)
                assert line is None, f"{block} shows {line!r}; printed was\n{printed}"

    def run(self, block: Block) -> str:
        """Run one block, which must succeed; what it prints."""
        if block.language == "sql":
            with duckdb.connect() as connection:
                connection.execute(f"SET file_search_path = '{self.path}'")
                connection.execute(block.as_run)
            return ""
        program = [sys.executable, "-c", block.as_run]
        if block.language == "sh":
            program = ["bash", "-c", f"{PRELUDE}{block.as_run}env -0 > {self.home / 'left'}"]
        done = subprocess.run(
            program, cwd=self.path, env=self.environment, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, (
            f"{block} ends with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
        if block.language == "sh":
            left = dict(line.split("=", 1) for line in (self.home / "left").read_text().split("\0") if line)
            exported = re.findall(r"^export (.*)$", block.text, re.MULTILINE)
            self.environment |= {name: left[name] for line in exported for name in re.findall(r"\b(\w+)=", line)}
        return done.stdout

    def end(self) -> None:
        """End the servers and workers that the page started, workers first."""
        started = self.home / "started"
        for process in reversed(started.read_text().split() if started.exists() else []):
            os.killpg(int(process), signal.SIGTERM)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve painted people with five photos and three clips each."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, CorpusSettings(people=12, photos_per_person=5, clips_per_person=3))
    return folder


@pytest.fixture(scope="module")
def readme(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which README's commands were followed."""
    folder = Folder(tmp_path_factory.mktemp("readme") / "checkout").with_corpus(corpus)
    folder.follow(blocks(README))
    return folder.path


@pytest.mark.long
def test_readme_runs_as_it_stands(readme: Path) -> None:
    assert {"DATA", "OUT", "face.png", "faces.txt"} <= {path.name for path in readme.iterdir()}


ASKED_ELSEWHERE = "questions.md"  # tests/flows/test_questions.py runs it, and compares what it shows
PAGES_THAT_RUN = [
    page for page in PAGES[1:] if page.name != ASKED_ELSEWHERE and any(block.is_run for block in blocks(page))
]


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES_THAT_RUN, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_as_they_stand(page: Path, readme: Path, corpus: Path, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "checkout", readme / "DATA").with_corpus(corpus)
    try:
        folder.follow(blocks(page))
    finally:
        folder.end()
