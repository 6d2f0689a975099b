"""Photos out of videos of painted people, and of the real ones where they are at hand."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from voxdata.faces.decode import Pixels
from voxdata.faces.video_frames import best_frames
from voxdata.faces.videos import PhotoVideos
from voxdata.format.errors import SourceError
from voxdata.people.identities import load_book
from voxdata.recipe.sections import Crawl
from voxdata.simulate.photos import make_photo
from voxdata.simulate.settings import CorpusSettings
from voxdata.sources.originals import PhotoStore
from voxdata.store.storage import open_storage

pytestmark = pytest.mark.long

RATE_HZ = 10
SIDE = 320


def face(person: int) -> Pixels:
    """A frontal painted face of a person."""
    first = make_photo(CorpusSettings(people=4, photo_px=SIDE, seed=5), person, 0)  # plain by construction
    pixels = cv2.imdecode(np.frombuffer(first.data, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(cv2.resize(pixels, (SIDE, SIDE)), cv2.COLOR_BGR2RGB)


def shot(pixels: Pixels, seconds: float, *, blur: float = 0.0) -> list[Pixels]:
    """A picture that moves a pixel per frame; every other half second it is blurred."""
    frames = []
    for number in range(round(seconds * RATE_HZ)):
        moved = np.roll(pixels, number, axis=1)
        out_of_focus = blur and number % RATE_HZ >= RATE_HZ // 2
        frames.append(cv2.GaussianBlur(moved, (0, 0), blur) if out_of_focus else moved)
    return frames


def write(path: Path, frames: list[Pixels], codec: str = "mpeg4", *, aspect: Fraction | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE_HZ)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 8_000_000
        if aspect is not None:
            stream.sample_aspect_ratio = aspect
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def closest(pixels: Pixels, people: list[Pixels]) -> int:
    """Whose frame it is, by its colours."""
    means = [np.abs(pixels.mean((0, 1)) - each.mean((0, 1))).sum() for each in people]
    return int(np.argmin(means))


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
def test_a_cut_ends_a_track_and_each_gives_its_best_frames(tmp_path: Path, name: str) -> None:
    people = [face(0), face(1)]
    path = write(tmp_path / name, [*shot(people[0], 3, blur=4.0), *shot(people[1], 2)])
    frames = best_frames(str(path), rate_hz=10, per_track=2)
    assert {frame.track for frame in frames} == {0, 1}
    for frame in frames:
        assert closest(frame.pixels, people) == frame.track == (frame.time_s >= 3)
    firsts = [frame for frame in frames if frame.track == 0]
    assert all((frame.time_s * RATE_HZ) % RATE_HZ < RATE_HZ / 2 - 1e-6 for frame in firsts)  # none out of focus
    assert [frame.score for frame in firsts] == sorted((frame.score for frame in firsts), reverse=True)


def test_a_face_that_keeps_still_gives_one_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "still.mp4", [face(0)] * 30)
    assert len(best_frames(str(path), rate_hz=10, per_track=5)) == 1


def test_a_video_without_a_face_gives_none(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    assert best_frames(str(write(tmp_path / "noise.mp4", [noise] * 5)), rate_hz=2, per_track=3) == []


def test_pixels_are_square_and_in_their_colours(tmp_path: Path) -> None:
    person = face(0)
    path = write(tmp_path / "wide.mp4", [cv2.resize(person, (SIDE // 2, SIDE))] * 3, aspect=Fraction(2, 1))
    (frame,) = best_frames(str(path), rate_hz=2, per_track=1)
    assert frame.pixels.shape == (SIDE, SIDE, 3)
    assert np.abs(frame.pixels.mean((0, 1)) - person.mean((0, 1))).max() < 4


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "no frame can be decoded"), (b"not a video" * 100, "no frame can be decoded")]
)
def test_what_is_no_video_says_so_in_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(OSError, match=said) as caught:
        best_frames(str(tmp_path / "a.mp4"), rate_hz=2, per_track=1)
    assert "\n" not in str(caught.value)


@pytest.fixture
def voxceleb(tmp_path: Path) -> Path:
    """Two people in VoxCeleb2's layout; a broken video beside."""
    folder = tmp_path / "vox2"
    for person in (0, 1):
        write(folder / f"dev/mp4/id0001{person}/aaaaaaaaaaa/00001.mp4", shot(face(person), 1, blur=3.0))
        write(folder / f"dev/mp4/id0001{person}/bbbbbbbbbbb/00001.mp4", shot(face(person)[:, ::-1], 1))
    (folder / "dev/mp4/id00010/aaaaaaaaaaa/00002.mp4").write_bytes(b"broken")
    return folder


def crawl(root: Path, folder: Path, **settings: int) -> PhotoStore:
    store = PhotoStore(open_storage(root, create=True), load_book([]), Crawl(**settings))
    store.add(PhotoVideos(path=str(folder)), "corpus-0", "sources.photos")
    return store


def test_frames_of_a_tree_are_photos_of_its_people(tmp_path: Path, voxceleb: Path) -> None:
    rows = crawl(tmp_path / "root", voxceleb).manifest().to_pylist()
    assert {row["identity"] for row in rows} == {"id00010", "id00011"}
    assert len(rows) >= 4
    assert all("/00001.mp4#t=" in row["source_key"] for row in rows)
    log = pa.concat_tables(pq.read_table(path) for path in (tmp_path / "root/photos/log").iterdir()).to_pylist()
    (broken,) = [row for row in log if row["status"] != "stored"]
    assert (broken["identity"], broken["status"]) == ("id00010", "unreadable")
    assert broken["source_path"].endswith("/00002.mp4")
    assert "no frame can be decoded" in broken["detail"]


def test_a_video_is_decoded_once(tmp_path: Path, voxceleb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = crawl(tmp_path / "root", voxceleb).manifest()
    (voxceleb / "dev/mp4/id00010/aaaaaaaaaaa/00002.mp4").unlink()

    def never(*words: object, **settings: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("voxdata.faces.videos.best_frames", never)
    again = crawl(tmp_path / "root", voxceleb).manifest()
    assert again.equals(first)


def test_frames_that_were_found_but_not_stored_are_decoded_again(tmp_path: Path, voxceleb: Path) -> None:
    first = crawl(tmp_path / "root", voxceleb).manifest()
    kept = tmp_path / "root/photos/found"
    (tmp_path / "other/photos").mkdir(parents=True)
    os.rename(kept, tmp_path / "other/photos/found")
    assert crawl(tmp_path / "other", voxceleb).manifest().equals(first)


def test_the_best_frame_of_every_video_comes_first(tmp_path: Path, voxceleb: Path) -> None:
    rows = crawl(tmp_path / "root", voxceleb, photos_per_identity=2).manifest().to_pylist()
    videos = [row["source_key"].split("/")[3] for row in rows if row["identity"] == "id00011"]
    assert sorted(videos) == ["aaaaaaaaaaa", "bbbbbbbbbbb"]


def test_a_folder_without_videos_says_what_it_expects(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"sources.photos.path=.* holds no video .*expected <identity>/<video>.mp4"):
        crawl(tmp_path / "root", tmp_path)


def test_real_videos_give_frames_of_each_shot(shared_data: Path) -> None:
    folder = shared_data / "video"
    for name, tracks in (("WDA_KatieHill_000.mp4", 1), ("retalking_1.mp4", 1), ("grid_bbaf2n.mpg", 1)):
        frames = best_frames(str(folder / name), rate_hz=2, per_track=3)
        assert len({frame.track for frame in frames}) == tracks
        assert len(frames) == 3
    shots = best_frames(str(folder / "short_hamilton_clip.mp4"), rate_hz=2, per_track=3)
    stage = [frame.time_s for frame in shots if frame.score > 0.05]
    assert any(2.5 < time_s < 4.5 for time_s in stage)
    assert any(4.5 < time_s < 7 for time_s in stage)
