"""docs/errors.md has what people read: the line of a mistake is found by a part that has no name or number in it."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from flows import error_page
from flows.documents import DOCS
from flows.error_texts import read_texts
from tests.run_command import run
from voxdata.pages.access import Gate, RefusedError

OLD_ROOT = Path(__file__).parent / "fixtures" / "root-0.1"
MISTAKES = [
    "buld demo",
    "build",
    "build demo",
    "build demo more --root {tmp}",
    "build demo --root {tmp} --rot x",
    "build nosuch --root {tmp}/data",
    "build {tmp}/none.yaml --root {tmp}/data",
    "build {tmp}/list.yaml --root {tmp}/data",
    "build {tmp}/torn.yaml --root {tmp}/data",
    "build demo --root {tmp}/data",
    "build demo --root {tmp}/data --set faces.pose.max_angle_deg=wide",
    "build demo --root {tmp}/data --set faces.pose.max_angle_deg=-4",
    "build demo --root {tmp}/data --set faces.pose.angle=8",
    "build demo --root {tmp}/data --set faces.measure.backend=dlib",
    "build demo --root {tmp}/data --set faces.pose",
    "build demo --root {tmp}/data --set faces.render.matting_model=none",
    "build demo --root {tmp}/data --set sources.photos.kind=site",
    "build demo --root {tmp}/data --set sources.photos.kind=site --set sources.photos.url=ftp://example.org",
    "build {tmp}/no-effect.yaml --root {tmp}/data",
    "build demo --root {tmp}/data --set sources.photos.path={tmp}/none",
    "build demo --root {tmp}/data --set sources.photos.path={tmp}/empty",
    "build demo --root {tmp}/data --set faces.select.max_per_identity=0",
    "build demo --root {tmp}/data --set splits.val_share=0.8 --set splits.test_share=0.8",
    "check voxceleb-folder --set sources.speech.path={tmp}/none",
    "stats --root {tmp}/none",
    "stats --root {tmp}/empty",
    "sql --root {root}",
    "sql 'select 1 from nobody' --root {root}",
    "sql --query none --root {root}",
    "show person Nobody --root {root}",
    "show run none --root {root}",
    "stats --root {root} --snapshot ffff",
    "optout Nobody --root {root}",
    "forget Nobody --reason letter --root {root}",
    "diff none other --root {root}",
    "tag no/name --root {root}",
    "train none --root {root}",
    "train sf2f --preset none --root {root}",
    "train sf2f --set front_end=mel99 --root {root}",
    "train sf2f --set lr=fast --root {root}",
    "train sf2f --set nothing=1 --root {root}",
    "evaluate none --root {root}",
    "imagine {tmp}/none.wav --run none --root {root}",
    "export nothing {tmp}/out --root {root}",
    "export sf2f {tmp}/file/out --root {root}",
    "import nothing {tmp}/empty --root {tmp}/data",
    "import lfw {tmp}/empty --root {tmp}/data",
    "import hq-voxceleb {tmp}/empty --root {tmp}/data",
    "weights pull none",
    "weights import {tmp}/none.pt",
    "simulate",
    "simulate {tmp}/file",
    "pull --root {root} --to {tmp}/copy",
    "verify --root {tmp}/file",
    "gc --root {root} --older-than few",
    "review --root {root} --port 99999999",
    "serve --root {root} --run none",
]


Rows = list[tuple[re.Pattern[str], str]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Every row of the page: what it matches, and its second cell."""
    lines = (DOCS / "errors.md").read_text(encoding="utf-8").splitlines()
    cells = [re.split(r"(?<!\\) \| ", line[2:-2]) for line in lines if line.startswith("| ")]
    typed = "<code>voxdata "
    pairs = [(after, "in the line itself") if said.startswith(typed) else (said, after) for said, after in cells]
    return [(_pattern(said), after) for said, after in pairs if said not in ("message", "for example")]


def _pattern(said: str) -> re.Pattern[str]:
    """What a row stands for: its words, with anything for `…` and for a name in capitals."""
    text = said.replace("&lt;", "<").replace("\\|", "|").replace("\\*", "*")
    parts = re.split(r"…+|\b[A-Z][A-Z0-9_]+\b", text)
    return re.compile(".*".join(re.escape(part) for part in parts if part.strip()))


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "list.yaml").write_text("[1, 2]", encoding="utf-8")
    (tmp_path / "torn.yaml").write_text("faces: [", encoding="utf-8")
    (tmp_path / "no-effect.yaml").write_text(
        "faces: {expression: {max_emotion: 0.4, rule: geometry}}", encoding="utf-8"
    )
    shutil.copytree(OLD_ROOT, tmp_path / "root")
    return {"tmp": tmp_path, "root": tmp_path / "root"}


@pytest.mark.parametrize("words", MISTAKES)
def test_the_line_of_a_mistake_is_found(
    words: str, places: dict[str, Path], rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told, said = run(capsys, *shlex.split(words.format(**places)))
    assert status
    assert [line for line in (told + said).splitlines() if _found(line, rows)], told + said


@pytest.mark.parametrize("header", [{}, {"Host": "example.org"}, {"Origin": "https://example.org"}])
def test_the_line_of_a_refused_request_is_found(header: dict[str, str], rows: Rows) -> None:
    gate = Gate("secret", "127.0.0.1", "browse")

    def ask() -> None:
        gate.check_address(header.get("Host", "127.0.0.1:1"), header, opens_page=True)
        gate.check_read(None, None)

    with pytest.raises(RefusedError) as error:
        ask()
    assert _found(str(error.value), rows)


@pytest.mark.parametrize(
    "part",
    [
        "has no effect: it counts only with",
        "no such preset of SYSTEM",
        "has no log-mels",
        "the token is missing",
        "Input should be greater than or equal to",
        "no such key",
        "kind=site needs url",
        "at least one of WEIGHTS must be above 0",
        "is not a public address",
        "unknown command",
        "the registry says",
        "a worker process of NAME ended without a word",
    ],
)
def test_a_part_of_a_message_is_on_the_page(part: str) -> None:
    assert part in error_page.error_page()


def test_no_row_is_without_a_next_step(rows: Rows) -> None:
    assert len(rows) > 900
    assert not [said.pattern for said, after in rows if not re.search(r"[a-z]{2}", after)]


@pytest.mark.parametrize(
    ("words", "after"),
    [
        (
            "list list.csv: it is named neither matching_v2f_* nor matching_f2v_*",
            "docs/models.md, Protocols with lists",
        ),
        ("worker processes cannot be started: no space left", "the end of the message says it"),
        ("not decodable as audio (libsndfile: no format; FFmpeg: no stream)", "only this clip is left out"),
    ],
)
def test_the_next_step_is_one_to_take(words: str, after: str, rows: Rows) -> None:
    assert [then for row, then in rows if row.search(words) and then.startswith(after)]


def test_every_error_has_a_text_or_hands_on_that_of_another() -> None:
    """What is not found in the sources must be another error's words: a new way of making messages is seen here."""
    handed_on = ("error", "stops", "{setting}: {line}")
    assert not [made for made in read_texts().without() if not any(word in made[2] for word in handed_on)]


def test_every_class_of_the_tree_that_is_raised_has_a_section() -> None:
    page = error_page.error_page()
    assert {"ConfigError", "PretrainedError", "RefusedError", "WorkerLostError"} <= set(read_texts().kinds)
    assert not [name for name in ("ConfigError", "RefusedError", "DiedError") if f"\n## {name}\n" not in page]


def _found(line: str, rows: Rows) -> list[str]:
    """The rows whose words are in a line, each with more than a word or two of its own."""
    return [row.pattern for row, _ in rows if len(re.findall("[a-z]", row.pattern)) > 6 and row.search(line)]
