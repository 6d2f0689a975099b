"""The cache: nothing enters it with a wrong digest, nothing leaves it unchecked."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from file_server import Enter

from voxdata import weights
from voxdata.format.errors import WeightsError
from voxdata.weights.cache import store

DATA = bytes(range(256)) * 500


@pytest.fixture
def given_file(tmp_path: Path) -> Path:
    """A file that holds `DATA` under a name that nobody knows."""
    file = tmp_path / "from a friend.dat"
    file.write_bytes(DATA)
    return file


def test_a_file_is_known_by_its_digest_whatever_its_name(cache: Path, enter: Enter, given_file: Path) -> None:
    enter("net", DATA, url="https://example.org/net.pt")
    (weight,) = weights.import_file(given_file)
    assert weight.name == "net"
    assert weights.path("net") == cache / "net.bin"
    assert [path.name for path in cache.iterdir()] == ["net.bin"]
    assert weights.is_present(weight)


def test_an_unknown_file_is_refused_with_what_was_expected(cache: Path, enter: Enter, given_file: Path) -> None:
    enter("net", DATA[1:] + b"x", url="https://example.org/net.pt")
    with pytest.raises(WeightsError, match=r"no entry of the registry has; net has that size and sha256 "):
        weights.import_file(given_file)
    named = given_file.rename(given_file.with_name("net.bin"))
    expected = weights.find("net").sha256
    with pytest.raises(WeightsError, match=rf"net wants sha256 {expected}, 128,000 bytes: it is another version"):
        weights.import_file(named)
    with pytest.raises(WeightsError, match="No such file"):
        weights.import_file(given_file)
    with pytest.raises(WeightsError, match="is a folder"):
        weights.import_file(given_file.parent)
    assert not cache.exists() or not list(cache.iterdir())


@pytest.mark.parametrize("damage", [DATA[:-1], DATA + b"x", DATA[:-1] + b"x"])
def test_a_damaged_file_is_never_handed_out(cache: Path, enter: Enter, given_file: Path, damage: bytes) -> None:
    enter("net", DATA, url="https://example.org/net.pt")
    weights.import_file(given_file)
    cached = weights.path("net")
    cached.write_bytes(damage)
    os.utime(cached, ns=(1, 1))
    for ask in (weights.path, weights.resolve):
        with pytest.raises(WeightsError, match=r"the registry says .*; run: voxdata weights pull net"):
            ask("net")


def test_verify_reads_every_byte_anew(cache: Path, enter: Enter, given_file: Path) -> None:
    enter("net", DATA, url="https://example.org/net.pt")
    weights.import_file(given_file)
    cached = weights.path("net")
    before = cached.stat()
    cached.write_bytes(DATA[:-1] + b"x")
    os.utime(cached, ns=(before.st_atime_ns, before.st_mtime_ns))
    (checked,) = weights.verify()
    assert checked.weight.name == "net"
    assert checked.problem is not None
    assert checked.sha256 in checked.problem


def test_resolve_takes_names_and_paths(
    cache: Path, enter: Enter, given_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter("net", DATA, url="https://example.org/net.pt")
    assert weights.resolve(str(given_file)) == given_file
    with pytest.raises(WeightsError, match=r"net.bin is not in .*get https://example.org/net.pt elsewhere"):
        weights.resolve("net")
    with pytest.raises(WeightsError, match=r"nett is neither .*; near: net.*voxdata weights list"):
        weights.resolve("nett")
    with pytest.raises(WeightsError, match="is a folder"):
        weights.resolve(str(tmp_path))
    weights.import_file(given_file)
    monkeypatch.chdir(tmp_path)
    Path("net").write_text("a file called like the weight")
    assert weights.resolve("net") == cache / "net.bin"
    assert weights.resolve("./net") == Path("net")


def test_a_folder_to_import_is_said_to_be_one(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"{tmp_path} is a folder; .*: voxdata weights import {tmp_path}/"):
        weights.import_file(tmp_path)


def test_a_zip_gives_the_members_that_are_known(cache: Path, enter: Enter, tmp_path: Path) -> None:
    enter("pack", None, "archives", url="https://example.org/pack.zip")
    enter("a", DATA, archive="pack", member="a.onnx")
    pack = tmp_path / "renamed.zip"
    with zipfile.ZipFile(pack, "w") as archive:
        archive.writestr("deep/inside/a.onnx", DATA)
        archive.writestr("b.onnx", b"unknown")
    assert [weight.name for weight in weights.import_file(pack)] == ["a"]
    assert weights.path("a").read_bytes() == DATA


class Endless(io.RawIOBase):
    """Zeros without end, as a zip bomb unpacks to; nobody may read far."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        assert 0 < size <= 1 << 24
        self.given += size
        assert self.given < 1 << 25, "read on far beyond the size that the registry states"
        return bytes(size)


def test_what_unpacks_to_more_than_it_should_is_not_read_to_its_end(cache: Path, enter: Enter) -> None:
    enter("net", DATA, url="https://example.org/net.pt")
    with pytest.raises(WeightsError, match=r"net: net.bin has more than 128,000 bytes.*not imported"):
        store(Endless(), weights.find("net"))
    assert list(cache.iterdir()) == []


def test_a_broken_zip(cache: Path, enter: Enter, tmp_path: Path) -> None:
    enter("pack", None, "archives", url="https://example.org/pack.zip")
    enter("a", DATA, archive="pack", member="a.onnx")
    pack = tmp_path / "pack.zip"
    with zipfile.ZipFile(pack, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.onnx", DATA)
    spoilt = bytearray(pack.read_bytes())
    spoilt[60:90] = bytes(30)
    pack.write_bytes(spoilt)
    with pytest.raises(WeightsError, match="damaged archive"):
        weights.import_file(pack)


def test_the_cache_folder(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert weights.cache_folder() == cache
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(weights.CACHE_VARIABLE, "~/nets")
    assert weights.cache_folder() == tmp_path / "home" / "nets"
    monkeypatch.delenv(weights.CACHE_VARIABLE)
    assert weights.cache_folder() == tmp_path / "home" / ".cache" / "voxdata" / "weights"
