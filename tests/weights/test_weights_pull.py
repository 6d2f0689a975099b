"""Downloads from a real web server that breaks off, forgets, lies and is silent."""

from __future__ import annotations

import fcntl
import hashlib
import io
import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest
from file_server import Enter, Fault, FileServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voxdata import weights
from voxdata.format.errors import WeightsError

DATA = np.random.default_rng(0).bytes(700_000)
OTHER = np.random.default_rng(1).bytes(700_000)


def pull(name: str = "net", **options: float) -> Path:
    return weights.pull(name, **{"backoff_s": 0.0, "timeout_s": 5.0, **options})  # type: ignore[arg-type]


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def test_a_file_arrives_once(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("net", DATA, url=server.add("/some/where.pt", DATA))
    seen: list[tuple[int, int | None]] = []
    file = weights.pull("net", lambda done, total: seen.append((done, total)))
    assert file == cache / "net.bin"
    assert file.read_bytes() == DATA
    assert seen == sorted(seen)
    assert seen[-1] == (len(DATA), len(DATA))
    assert pull() == file
    assert len(server.requests) == 1
    assert left(cache) == ["net.bin"]


def test_a_dropped_connection_resumes_where_it_broke(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("net", DATA, url=server.add("/net", DATA))
    server.faults = [Fault(drop_after=300_000), Fault(drop_after=200_000)]
    assert pull(retries=1).read_bytes() == DATA
    assert server.requests == [("/net", None), ("/net", "bytes=300000-"), ("/net", "bytes=500000-")]
    assert server.sent == len(DATA)


def test_a_later_command_resumes(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("net", DATA, url=server.add("/net", DATA))
    server.faults = [Fault(drop_after=300_000), Fault(status=503)]
    with pytest.raises(WeightsError, match=r"503.*300,000 bytes are kept, the same command resumes"):
        pull(retries=0)
    assert left(cache) == ["net.bin.partial"]
    assert pull().read_bytes() == DATA
    assert server.requests[-1] == ("/net", "bytes=300000-")
    assert left(cache) == ["net.bin"]


def test_a_server_without_ranges_starts_over(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("net", DATA, url=server.add("/net", DATA))
    server.faults = [Fault(drop_after=300_000), Fault(ignore_range=True)]
    assert pull().read_bytes() == DATA
    assert server.sent == 300_000 + len(DATA)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_a_proxy_of_the_environment_is_for_other_machines(
    server: FileServer, cache: Path, enter: Enter, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for each in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(each, raising=False)
    far = "http://weights.example/net.pt"  # as a client asks a proxy: the path is the whole address
    here = server.add("/net.pt", OTHER)
    monkeypatch.setenv(name, server.add(far, DATA).removesuffix(far))
    enter("far", DATA, url=far)
    enter("here", OTHER, url=here)
    assert pull("far").read_bytes() == DATA
    assert pull("here").read_bytes() == OTHER
    assert [path for path, _ in server.requests] == [far, "/net.pt"]


@pytest.mark.parametrize("no_length", [False, True])
def test_wrong_content_is_refused_and_not_kept(server: FileServer, cache: Path, enter: Enter, no_length: bool) -> None:
    enter("net", DATA, url=server.add("/net", OTHER))
    server.faults = [Fault(no_length=no_length)]
    wrong, right = hashlib.sha256(OTHER).hexdigest(), hashlib.sha256(DATA).hexdigest()
    with pytest.raises(WeightsError, match=rf"{wrong}; the registry says {right}; it was removed"):
        pull()
    assert left(cache) == []


def test_a_spoilt_partial_does_not_block_the_file_for_ever(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("net", DATA, url=server.add("/net", DATA))
    cache.mkdir()
    (cache / "net.bin.partial").write_bytes(OTHER[:1000])
    with pytest.raises(WeightsError, match="it was removed"):
        pull()
    assert pull().read_bytes() == DATA


def test_another_size_is_refused_before_a_byte_is_read(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("net", DATA[:1000], url=server.add("/net", DATA))
    with pytest.raises(WeightsError, match=r"offers 700,000 bytes; the registry says 1,000"):
        pull()
    server.faults = [Fault(no_length=True)]
    with pytest.raises(WeightsError, match=r"gives more than 1,000 bytes"):
        pull()
    assert left(cache) == []


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_is_gone_is_said_at_once(server: FileServer, cache: Path, enter: Enter, status: int) -> None:
    url = server.add("/net", DATA)
    enter("net", DATA, url=url)
    server.faults = [Fault(status=status)]
    with pytest.raises(WeightsError, match=rf"{url} answers {status} .*run: voxdata weights import net.bin"):
        pull()
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("net", DATA, url=server.add("/net", DATA))
    server.faults = [Fault(status=503), Fault(status=429)]
    assert pull(retries=2).read_bytes() == DATA
    assert len(server.requests) == 3


def test_without_a_network_the_message_says_what_to_do_at_once(
    cache: Path, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("waited for a network that is not there"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/net"
        enter("net", DATA, url=url)
        with pytest.raises(WeightsError, match=rf"no connection.*get {url} elsewhere.*voxdata weights import net.bin"):
            weights.pull("net")


def test_a_silent_server_is_not_waited_for(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("net", DATA, url=server.add("/net", DATA))
    server.faults = [Fault(silent=True)] * 2
    with pytest.raises(WeightsError, match=r"no answer \(timed out\)"):
        pull(retries=1, timeout_s=0.2)
    assert len(server.requests) == 2


def test_redirects_are_followed_with_the_range(server: FileServer, cache: Path, enter: Enter) -> None:
    mirror = server.add("/mirror", DATA)
    enter("net", DATA, url=server.add("/net", DATA))
    server.faults = [Fault(drop_after=100), Fault(redirect=mirror)]
    assert pull().read_bytes() == DATA
    assert server.requests[-1] == ("/mirror", "bytes=100-")


def test_a_digest_of_which_only_the_start_is_known(server: FileServer, cache: Path, enter: Enter) -> None:
    prefix = {"digest": "prefix", "sha256_prefix": hashlib.sha256(DATA).hexdigest()[:8]}
    enter("net", url=server.add("/net", DATA), **prefix)
    enter("other", url=server.add("/other", OTHER), **prefix)
    server.faults = [Fault(drop_after=1000)]
    assert pull().read_bytes() == DATA
    with pytest.raises(WeightsError, match=rf"the registry says {prefix['sha256_prefix']}…"):
        pull("other")


def test_all_of_a_file_of_unknown_size_had_already_arrived(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("net", url=server.add("/net", DATA), sha256=hashlib.sha256(DATA).hexdigest())
    cache.mkdir()
    (cache / "net.bin.partial").write_bytes(DATA)
    assert pull().read_bytes() == DATA
    assert server.sent == 0


def zipped(**members: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"pack/{name}.onnx", data)
    return sink.getvalue()


def test_members_of_an_archive(server: FileServer, cache: Path, enter: Enter) -> None:
    pack = zipped(a=DATA, b=OTHER, c=b"nobody wants this")
    enter("pack", pack, "archives", url=server.add("/pack.zip", pack))
    enter("a", DATA, archive="pack", member="a.onnx")
    enter("b", OTHER, archive="pack", member="b.onnx")
    server.faults = [Fault(drop_after=500_000)]
    assert pull("a").read_bytes() == DATA
    assert pull("b").read_bytes() == OTHER
    assert len(server.requests) == 2
    assert left(cache) == ["a.bin", "b.bin"]


def test_an_archive_with_a_wrong_member_or_none(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("pack", None, "archives", url=server.add("/pack.zip", zipped(a=OTHER)))
    enter("a", DATA, archive="pack", member="a.onnx")
    with pytest.raises(WeightsError, match=r"gave a wrong file: a: a.onnx has sha256"):
        pull("a")
    server.add("/pack.zip", zipped(b=DATA))
    with pytest.raises(WeightsError, match=r"holds no a.onnx"):
        pull("a")
    server.add("/pack.zip", zipped(a=DATA)[:-200])
    with pytest.raises(WeightsError, match=r"pack.zip holds no a.onnx|damaged zip"):
        pull("a")
    assert left(cache) == []


def test_an_archive_with_another_digest(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("pack", zipped(a=DATA), "archives", url=server.add("/pack.zip", zipped(a=DATA, b=OTHER)), bytes=None)
    enter("a", DATA, archive="pack", member="a.onnx")
    with pytest.raises(WeightsError, match=r"pack.zip has sha256 .*; the registry says"):
        pull("a")
    assert left(cache) == []


def test_what_cannot_be_checked_is_not_downloaded(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("net", url=server.add("/net", DATA), digest="unknown")
    enter("shared", DATA, no_url="a shared drive")
    with pytest.raises(WeightsError, match=r"no digest is published.*voxdata weights import net.bin"):
        pull("net")
    with pytest.raises(WeightsError, match=r"there is no public url \(a shared drive\).*voxdata weights import shared"):
        pull("shared")
    with pytest.raises(WeightsError, match=r"'nett'; near: net"):
        pull("nett")
    assert server.requests == []


def test_two_processes_do_not_write_one_file(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("net", DATA, url=server.add("/net", DATA))
    cache.mkdir()
    with (cache / "net.bin.partial").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(WeightsError, match="by another process"):
            pull()
    assert pull().read_bytes() == DATA


def test_a_damaged_file_in_the_cache_is_replaced(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("net", DATA, url=server.add("/net", DATA))
    cache.mkdir()
    (cache / "net.bin").write_bytes(OTHER)
    with pytest.raises(WeightsError, match=r"run: voxdata weights pull net"):
        weights.path("net")
    assert pull().read_bytes() == DATA


def test_a_cache_that_cannot_be_written(server: FileServer, cache: Path, enter: Enter) -> None:
    enter("net", DATA, url=server.add("/net", DATA))
    cache.write_text("a file")
    with pytest.raises(WeightsError, match=r"VOXDATA_WEIGHTS: .* cannot be made"):
        pull()


faults = st.one_of(
    st.integers(0, len(DATA)).map(lambda count: Fault(drop_after=count)),
    st.builds(Fault, drop_after=st.integers(0, len(DATA)), ignore_range=st.just(True)),
    st.sampled_from([408, 429, 500, 503]).map(lambda status: Fault(status=status)),
    st.just(Fault(no_length=True, drop_after=1234)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(faults, max_size=6))
def test_whatever_breaks_the_file_is_right_in_the_end(
    server: FileServer, cache: Path, enter: Enter, todo: list[Fault]
) -> None:
    if "net" not in weights.registry():
        enter("net", DATA, url=server.add("/net", DATA))
    (cache / "net.bin").unlink(missing_ok=True)
    server.faults = list(todo)
    assert pull(retries=len(todo)).read_bytes() == DATA
    assert left(cache) == ["net.bin"]
