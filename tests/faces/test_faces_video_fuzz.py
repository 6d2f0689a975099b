"""Videos of anybody, damaged in every way: frames, or one line; nothing but the video itself is opened."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mutations import complaint, damaged, few
from voxdata.faces.video_frames import sampled


@cache
def video(form: str) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=form) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 48, "yuv420p"
        for number in range(6):
            pixels = np.full((48, 32, 3), 40 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return out.getvalue()


def frames(path: Path) -> list[tuple[int, ...]]:
    return [pixels.shape for _, pixels in sampled(str(path), 5.0)]


@few(60)
@given(data=st.data(), form=st.sampled_from(["mp4", "matroska", "avi"]))
def test_any_video_is_frames_or_refused_in_one_line(data: st.DataObject, form: str, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("video") / "x.mp4"
    path.write_bytes(data.draw(damaged(video(form))))
    complaint(lambda: frames(path), OSError)


def test_a_video_that_names_no_codec_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(video("mp4").replace(b"stbl", b"spbl"))
    assert "codec" in str(complaint(lambda: frames(tmp_path / "x.mp4"), OSError))


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile real.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nreal.mp4\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_list_of_other_files_is_no_video(text: str, tmp_path: Path) -> None:
    (tmp_path / "real.mp4").write_bytes(video("mp4"))
    (tmp_path / "list.mp4").write_text(text)
    assert frames(tmp_path / "real.mp4")
    assert complaint(lambda: frames(tmp_path / "list.mp4"), OSError)
