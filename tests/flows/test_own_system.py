"""docs/extend.md: its module and its pyproject.toml make a package; its commands train, resume, judge and ask it."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from models.systems.registry import GROUP
from tests.documented import REPOSITORY, blocks, command_lines
from tests.flows.building import Voxdata

pytestmark = pytest.mark.long
PAGE = REPOSITORY / "docs" / "extend.md"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's two files, with what pip makes of the second beside the first."""
    folder = tmp_path_factory.mktemp("own")
    (module,), (stated,) = ([each for each in blocks(PAGE) if each.language == kind] for kind in ("python", "toml"))
    about = tomllib.loads(stated.text)
    (name,) = about["tool"]["setuptools"]["py-modules"]
    (folder / f"{name}.py").write_text(module.text)
    project = about["project"]
    info = folder / f"{name}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "".join(f"{key} = {value}\n" for key, value in project["entry-points"][GROUP].items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{points}")
    return folder


def test_the_page_s_commands_train_resume_judge_and_ask_the_page_s_system(
    package: Path, root: Path, corpus: Path, tmp_path: Path, voxdata: Voxdata
) -> None:
    data, voice = shutil.copytree(root, tmp_path / "data"), next(iter(sorted(corpus.rglob("*.wav"))))
    path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    (shell,) = (block for block in blocks(PAGE) if block.language == "sh")
    commands = [words for words in command_lines(shell.text) if words[0] == "voxdata"]
    assert [words[1] for words in commands] == ["train", "train", "evaluate", "imagine"]
    known = {"DATA": str(data), "someone.wav": str(voice), "face.png": str(tmp_path / "face.png")}
    steps = []
    for program, *words in commands:
        assert program == "voxdata"
        told = [known.get(word, word.replace("DATA/", f"{data}/").replace("000", "")) for word in words]
        done = voxdata(*told, PYTHONPATH=path)
        assert done.returncode == 0, done.stderr
        if words[0] == "train":
            lines = (data / "runs" / "first-toy" / "metrics.jsonl").read_text().splitlines()
            steps.append([json.loads(line)["step"] for line in lines])
    assert (steps[0][-1], steps[1][-1]) == (2, 4)
    assert steps[1][: len(steps[0])] == steps[0], "the second command went on"
    described = json.loads((data / "runs" / "first-toy" / "config.json").read_text())
    assert (described["system"], described["system_of"]) == ("toy", "toy-system 0.1")
    judged = json.loads((data / "runs" / "first-toy" / "evaluation-val.json").read_text())
    assert [row["name"] for row in judged["rows"]][:2] == ["toy, fused", "toy, 0.5 s, no fuser"]
    with Image.open(tmp_path / "face.png") as face:
        assert face.size == (64, 64)
