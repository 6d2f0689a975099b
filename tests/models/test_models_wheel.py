"""A bare GPU machine: the wheel without its dependencies, and four packages. It trains, evaluates and imagines.

These tests ask a package index (marker `index`): `.ci/run` runs them, an offline `make test` does not.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from snapshot_writer import SMALL_NETWORKS, write_snapshot

from tests.documented import blocks

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# webrtcvad's own release needs pkg_resources; the wheels project builds the same module
MISSION = {
    "prefect",
    "torch",
    "torchaudio",
    "webrtcvad-wheels",
    "face-alignment",
    "mediapipe",
    "opencv-python",
    "pyarrow",
    "duckdb",
    "webdataset",
}
ROOM_GB = 12  # an environment of a CUDA build of torch takes 5
IMAGINE = """
import sys
import numpy as np
from models.images import write_png
from models.imagine import imagine
from pathlib import Path
mel = np.random.default_rng(0).normal(10, 3, (40, 200)).astype(np.float32)
write_png(Path(sys.argv[2]), imagine(sys.argv[1], mel, front_end="torch40").face)
heavy = {"mediapipe", "cv2", "prefect", "duckdb", "fsspec"} & set(sys.modules)
assert not heavy, heavy
"""


def interpreter(version: str) -> str | None:
    """A Python of that version on this machine, pyenv's included."""
    if f"{sys.version_info[0]}.{sys.version_info[1]}" == version:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(pyenv.glob(f"{version}.*/bin/python{version}"))
    return str(found[-1]) if found else shutil.which(f"python{version}")


def run(*command: str | Path, cwd: Path, **more: str) -> str:
    given = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    given |= {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default", **more}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_plain_install_brings_the_packages_of_the_mission() -> None:
    named = {re.split(r"[<>=;\s\[]", requirement, maxsplit=1)[0].lower() for requirement in PROJECT["dependencies"]}
    assert named >= MISSION
    for package in MISSION:
        assert metadata.version(package)


def test_training_needs_no_more_than_its_requirements_name() -> None:
    lines = (REPOSITORY / "requirements-train.txt").read_text().splitlines()
    named = {re.split(r"[<>=]", line)[0] for line in lines if line and not line.startswith("#")}
    assert named == {"numpy", "pillow", "pyarrow", "torch"}


def sources(folder: Path) -> Path:
    """The tracked files that installing needs, beside which building may leave what it likes."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, tracked.split("\0")):
        if (REPOSITORY / name).is_file() and name.partition("/")[0] not in ("tests", "docs", "benchmarks"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = sources(tmp_path_factory.mktemp("sources") / "voxdata")  # setuptools leaves build/ where it builds
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", place / "dist", place, cwd=place)
    (built,) = (place / "dist").glob("voxdata-*.whl")
    return built


def environment(place: Path) -> Path:
    """A new environment that finds all packages but ours where this one has them."""
    run(sys.executable, "-m", "venv", place, cwd=place.parent)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return place / "bin"


@pytest.mark.index
def test_the_wheel_of_readme_is_built_and_installed_as_typed(tmp_path: Path) -> None:
    """Its dependencies are found and not fetched (PIP_NO_DEPS); twice the same commit is twice the same wheel."""
    checkout = sources(tmp_path / "checkout")
    (checkout / ".venv").symlink_to(sys.prefix)
    for name in ("pyproject.toml", "constraints.txt"):
        os.utime(checkout / name, (0, 0))  # else make would install them anew, into this environment
    (typed,) = (block.text for block in blocks(REPOSITORY / "README.md") if "make wheel" in block.text)
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=n", "-c", "user.email=e@x", "commit", "-qm", "x"]):
        run("git", *words, cwd=checkout)
    path = f"{environment(tmp_path / 'new')}{os.pathsep}{os.environ['PATH']}"
    printed = run("bash", "-euc", typed, cwd=checkout, PATH=path, PIP_NO_DEPS="1")
    assert printed.splitlines()[-1] == f"voxdata {PROJECT['version']}"
    (first,) = (checkout / "dist").glob("voxdata-*.whl")
    assert first.name == f"voxdata-{PROJECT['version']}-py3-none-any.whl"
    content = first.read_bytes()
    assert run(tmp_path / "new/bin/python", "-Pc", "import voxdata; print(voxdata.__version__)", cwd=tmp_path) == (
        f"{PROJECT['version']}\n"
    )
    shutil.rmtree(checkout / "dist")
    run("make", "wheel", cwd=checkout)
    assert first.read_bytes() == content


@pytest.mark.index
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_a_bare_machine_trains_evaluates_and_imagines(wheel: Path, version: str, tmp_path: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    if shutil.disk_usage(tmp_path).free < ROOM_GB * 1e9:
        pytest.skip(f"less than {ROOM_GB} GB are free, and torch with CUDA takes as much")
    run(python, "-m", "venv", tmp_path / "bare", cwd=tmp_path)
    bare = tmp_path / "bare" / "bin" / "python"
    pip = (bare, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    run(*pip, "--no-deps", wheel, cwd=tmp_path)
    run(*pip, "-r", REPOSITORY / "requirements-train.txt", "torch==2.13.0", cwd=tmp_path)

    snapshot = write_snapshot(tmp_path / "root", {"train": 12, "test": 5})
    content = {"root": str(snapshot.root), "snapshot": snapshot.id, "run_dir": str(tmp_path / "run"), "steps": 4}
    content |= {"overrides": SMALL_NETWORKS, "device": "cpu", "log_every": 1}
    (tmp_path / "run.json").write_text(json.dumps(content))
    (tmp_path / "models").mkdir()  # a project of the user's that has the same name: -P leaves it out
    (tmp_path / "models" / "__init__.py").write_text("raise RuntimeError('the wrong models')")
    run(bare, "-P", "-m", "models.train", "--config", tmp_path / "run.json", cwd=tmp_path)
    printed = run(bare, "-P", "-m", "models.evaluate", tmp_path / "run", cwd=tmp_path)
    assert "chance" in printed
    run(bare, "-P", "-c", IMAGINE, tmp_path / "run", tmp_path / "face.png", cwd=tmp_path)
    assert (tmp_path / "face.png").read_bytes().startswith(b"\x89PNG")
    shutil.rmtree(tmp_path / "bare")


@pytest.mark.index
def test_the_demo_runs_where_there_is_no_checkout(wheel: Path, tmp_path: Path) -> None:
    """In a new environment with the wheel, which finds all other packages where this one has them."""
    place = tmp_path / "new"
    environment(place)
    run(place / "bin" / "python", "-m", "pip", "install", "-q", "--no-deps", wheel, cwd=tmp_path)
    (tmp_path / "anywhere").mkdir()
    demo = ("demo", "shown", "--people", "12", "--seconds", "2")
    printed = run(place / "bin" / "voxdata", *demo, cwd=tmp_path / "anywhere")
    assert "Look at shown/report.html in a browser" in printed
    assert "data:image/" in (tmp_path / "anywhere" / "shown" / "report.html").read_text(encoding="utf-8")
    where = run(place / "bin" / "python", "-P", "-c", "import flows; print(flows.__file__)", cwd=tmp_path)
    assert where.startswith(str(place))
