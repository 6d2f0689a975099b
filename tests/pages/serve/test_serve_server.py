"""What `voxdata serve` answers, and what it refuses, without a browser."""

from __future__ import annotations

import base64
import io
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from flows.serve import Answering
from tests.flows.enhancer_writer import write_enhancer
from tests.served_page import Served, in_thread
from voxdata.pages.serve.routes import MAX_CLIP_BYTES, Faces, voice_page
from voxdata.simulate.clips import encode_wav


def picture(png: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(png)))


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_a_clip_becomes_a_fused_face_and_one_per_window(page: Served, run: Path, clip: bytes) -> None:
    before = files(run.parent.parent)
    status, answer, headers = page.request("POST", "/api/imagine", clip)
    assert status == 200
    assert headers["cache-control"] == "no-store"
    assert len(answer["windows"]) >= 3
    window_s = page.get("/api/about")["window_s"]
    for number, window in enumerate(answer["windows"]):
        assert window["start_s"] == pytest.approx(number * window_s / 2)
        assert window["end_s"] - window["start_s"] == pytest.approx(window_s)
    faces = [picture(answer["fused"]), *(picture(window["face"]) for window in answer["windows"])]
    assert {face.size for face in faces} == {(64, 64)}
    assert all("identifies nobody" in face.info["Description"] for face in faces)
    assert (answer["enhanced"], answer["identity_kept"]) == (None, None)
    assert files(run.parent.parent) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file has 0 bytes"),
        (b"nothing to hear in a text\n" * 40, "cannot be decoded: not decodable as audio"),
        (encode_wav(np.zeros(48_000, np.float32)), "holds no speech"),
        (encode_wav(np.zeros(61 * 16_000, np.float32)), "longer than 60 s"),
    ],
)
def test_what_is_no_voice_is_one_line(page: Served, content: bytes, message: str) -> None:
    status, answer, _ = page.request("POST", "/api/imagine", content)
    assert status == 400
    assert message in answer["error"]
    assert "\n" not in answer["error"]


def test_a_clip_below_one_window_is_one_line(page: Served, clip: bytes) -> None:
    header, samples = clip[:44], clip[44:]
    short = [samples[start : start + 2 * 7_200] for start in range(0, len(samples), 2 * 7_200)]
    answers = [page.request("POST", "/api/imagine", _wav(header, part)) for part in short]
    said = [answer["error"] for status, answer, _ in answers if status != 200]
    assert any("one window is 0.50 s: give a longer clip" in line for line in said), said


def _wav(header: bytes, samples: bytes) -> bytes:
    return (
        header[:4]
        + (36 + len(samples)).to_bytes(4, "little")
        + header[8:40]
        + len(samples).to_bytes(4, "little")
        + samples
    )


def test_only_the_page_itself_may_ask(page: Served, clip: bytes) -> None:
    status, html, headers = page.request("GET", f"/?token={page.token}", token=None)
    assert status == 200
    assert b"shows no real person and identifies nobody" in html
    assert b"clip is not stored" in html
    cookie = headers["set-cookie"].partition(";")[0]
    for path in ("/", "/?token=wrong", "/api/about"):
        assert page.request("GET", path, token=None)[0] == 403
    refused = [
        {"token": None},
        {"token": "wrong"},
        {"token": None, "Cookie": cookie},  # what another site's form could send
        {"Origin": "http://evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Host": f"evil.example:{page.port}"},
    ]
    for given in refused:
        assert page.request("POST", "/api/imagine", clip, **given)[0] == 403, given
    assert "voxdata serve" in page.request("GET", "/api/about", token=None)[1]["error"]
    assert page.request("GET", "/api/imagine")[0] == 405
    texts = [html, *(page.request("GET", f"/assets/{name}")[1] for name in ("page.js", "page.css", "recording.js"))]
    assert not [text for text in texts if b"http://" in text or b"https://" in text]


@contextmanager
def answering_anything(asked: list[int]) -> Iterator[Served]:
    def answer(clip: bytes) -> Faces:
        asked.append(len(clip))
        return Faces(fused=b"", windows=[], starts_s=[], window_s=1.0)

    with in_thread(voice_page(answer, {})) as served:
        yield served


def test_a_file_over_the_limit_is_not_listened_to() -> None:
    asked: list[int] = []
    with answering_anything(asked) as page:
        assert page.request("POST", "/api/imagine", bytes(MAX_CLIP_BYTES))[0] == 200
        status, answer, _ = page.request("POST", "/api/imagine", bytes(MAX_CLIP_BYTES + 1))
    assert (status, answer["error"]) == (413, "more than 33,554,432 bytes; send less at once")
    assert asked == [MAX_CLIP_BYTES]


def test_the_enhanced_face_stands_beside(run: Path, clip: bytes, tmp_path: Path) -> None:
    answering = Answering(run, str(write_enhancer(tmp_path / "enhancer")), "cpu")
    faces = answering(clip)
    assert faces.enhanced is not None
    assert Image.open(io.BytesIO(faces.enhanced)).size == (32, 32)
    assert faces.identity_kept is not None
    assert -1 <= faces.identity_kept <= 1


def test_what_cannot_be_served_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert main(["serve", "--run", str(run), "--port", port, "--device", "cpu"]) == 1
    assert f"port {port} on 127.0.0.1 cannot be opened" in capsys.readouterr().err
    assert main(["serve", "--run", str(tmp_path)]) == 2
    assert "is not a training run" in capsys.readouterr().err
    os.makedirs(tmp_path / "empty")
    (tmp_path / "empty" / "config.json").write_bytes((run / "config.json").read_bytes())
    assert main(["serve", "--run", str(tmp_path / "empty")]) == 1
    assert "has no readable checkpoint" in capsys.readouterr().err
