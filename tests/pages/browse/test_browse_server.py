"""What the server of `voxdata browse` answers, and what it refuses, without a browser."""

from __future__ import annotations

import hashlib
import io
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from PIL import Image

from flows.cli import main
from tests.documented import REPOSITORY
from tests.pages.browse.browse_root import TONE_S, ask, running, serving
from tests.served_page import Served
from voxdata.people import optouts
from voxdata.store.storage import open_storage

VIEWS = {
    "": "true",
    "show=kept": "portrait",
    "show=rejected&sharpness=0.02..0.06": "NOT portrait AND sharpness >= 0.02::REAL AND sharpness <= 0.06::REAL",
    "sharpness=..0.06&yaw_deg=-5..": "sharpness <= 0.06::REAL AND yaw_deg >= -5",
    "reason=blurred,smiling": "reason IN ('blurred', 'smiling')",
    "face_side_px=41..&sort=-yaw_deg": "least(box_width_px, box_height_px) >= 41",
    "person=id00003&sort=reason": "person = 'id00003'",
    "sharpness=5..": "false",
}
SHOWN = "NOT list_has_any(coalesce(reasons, []), ['forgotten', 'opted_out'])"


def counted(root: Path, where: str) -> int:
    return int(ask(root, f"SELECT count(*) AS n FROM faces WHERE ({where}) AND {SHOWN}")[0]["n"])


def all_faces(page: Served, view: str) -> list[dict[str, Any]]:
    """The faces of a view, page by page."""
    faces: list[dict[str, Any]] = []
    while (answer := page.get(f"/api/faces?view={quote(view)}&offset={len(faces)}&limit=50"))["faces"]:
        faces += answer["faces"]
    assert len(faces) == answer["count"]
    return faces


@pytest.mark.parametrize(("view", "where"), VIEWS.items())
def test_a_view_has_the_faces_that_sql_finds(page: Served, published: Path, view: str, where: str) -> None:
    faces = all_faces(page, view)
    found = ask(published, f"SELECT coalesce(face_id, item_id) AS key FROM faces WHERE ({where}) AND {SHOWN}")
    assert sorted(face["key"] for face in faces) == sorted(row["key"] for row in found)


@pytest.mark.parametrize("view", VIEWS)
def test_the_sql_that_is_shown_runs_and_has_the_same_rows(page: Served, published: Path, view: str) -> None:
    answer = page.get(f"/api/faces?view={quote(view)}&limit=400")
    rows = ask(published, answer["sql"])
    assert [row["face_id"] or row["item_id"] for row in rows] == [face["key"] for face in answer["faces"]]
    assert main(["sql", answer["sql"], "--root", str(published)]) == 0


def test_faces_are_in_the_order_that_is_asked_for(page: Served, published: Path) -> None:
    for view, column, backwards in (("sort=sharpness", "sharpness", False), ("sort=-yaw_deg", "yaw_deg", True)):
        known = {row["face_id"]: row[column] for row in ask(published, "SELECT * FROM faces WHERE face_id IS NOT NULL")}
        values = [known.get(face["key"]) for face in all_faces(page, view)]
        measured = [value for value in values if value is not None]
        assert values[: len(measured)] == measured  # what was not measured comes last
        assert measured == sorted(measured, reverse=backwards)
        assert len(set(measured)) > 5


def test_histograms_count_what_the_other_filters_leave(page: Served, published: Path) -> None:
    view = "show=rejected&sharpness=0.05..0.1&reason=face_angle,blurred,no_face"
    answer = page.get(f"/api/counts?view={quote(view)}&measures=sharpness,yaw_deg")
    reasons = "reason IN ('face_angle', 'blurred', 'no_face')"
    span = "sharpness >= 0.05::REAL AND sharpness <= 0.1::REAL"
    of = answer["histograms"]
    assert sum(of["sharpness"]["rejected"]) == counted(
        published, f"NOT portrait AND {reasons} AND sharpness IS NOT NULL"
    )
    assert sum(of["yaw_deg"]["rejected"]) == counted(published, f"NOT portrait AND {reasons} AND {span}")
    assert sum(of["yaw_deg"]["kept"]) == 0
    assert sum(of["yaw_deg"]["all"]) == counted(published, "yaw_deg IS NOT NULL")
    low, high = of["yaw_deg"]["low"], of["yaw_deg"]["high"]
    width = (high - low) / 40
    third = counted(published, f"yaw_deg >= {low + 3 * width} AND yaw_deg < {low + 4 * width}")
    assert of["yaw_deg"]["all"][3] == third
    assert answer["outcomes"]["rejected"] == counted(published, f"NOT portrait AND {reasons} AND {span}")
    assert len(answer["reasons"]) > 2
    for reason, count in answer["reasons"].items():
        assert count == counted(published, f"NOT portrait AND reason = '{reason}' AND {span}"), reason


def test_what_was_measured_is_listed_with_its_limits(page: Served, published: Path) -> None:
    about = page.get("/api/about")
    measures = {each["key"]: each for each in about["measures"]}
    assert measures["sharpness"]["values"] == counted(published, "sharpness IS NOT NULL")
    assert measures["scale"]["values"] == counted(published, "scale IS NOT NULL")
    assert measures["emotion_happy"]["values"] == 0
    assert measures["face_angle_deg"]["unit"] == "°"
    assert measures["face_angle_deg"]["high"] == pytest.approx(5)
    reasons = [each["name"] for each in about["reasons"]]
    assert {"blurred", "no_face", "face_angle"} <= set(reasons)
    assert not {"opted_out", "forgotten"} & set(reasons)
    assert about["people"] == 40


def test_pictures_are_portraits_and_crops(page: Served) -> None:
    faces = page.get("/api/faces?view=show=kept&limit=5")
    for face in faces["faces"]:
        status, data, headers = page.request("GET", f"/picture/face?number={face['number']}&generation=1")
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(data)).size == (16, 16)  # as it was packed
        assert "private" in headers["cache-control"]
    rejected = page.get("/api/faces?view=reason=blurred&limit=5")["faces"][0]
    for kind in ("face", "photo"):
        status, data, _ = page.request("GET", f"/picture/{kind}?number={rejected['number']}&generation=1")
        assert status == 200
        picture = Image.open(io.BytesIO(data))
        assert picture.getpixel((1, 1))[2] > 100  # the photo's blue, no white around it
    assert picture.size == (96, 80)


def test_one_face_has_its_measurements_and_all_its_reasons(page: Served) -> None:
    face = page.get("/api/faces?view=reason=blurred&limit=1")["faces"][0]
    told = page.get(f"/api/face?number={face['number']}&generation=1")
    assert (told["key"], told["kept"], told["photo"]) == (face["key"], False, True)
    assert [reason["name"] for reason in told["reasons"]] == ["blurred", "smiling"]
    assert told["reasons"][0]["text"] == "out of focus"
    angle = next(each for each in told["measurements"] if "angle" in each["label"].lower())
    assert (angle["value"], angle["fails"]) == ("40°", True)


def test_a_face_is_found_again_in_a_view(page: Served) -> None:
    faces = all_faces(page, "sort=sharpness")
    place = page.get(f"/api/place?view=sort=sharpness&key={quote(faces[17]['key'])}")
    assert (place["place"], place["number"]) == (17, faces[17]["number"])
    kept = next(face for face in faces if face["kept"])
    assert page.get(f"/api/place?view=show=rejected&key={quote(kept['key'])}")["place"] is None


def test_clips_of_a_person_with_log_mels_and_sound(page: Served) -> None:
    answer = page.get("/api/clips?person=id00007")
    assert answer["count"] == 3
    assert [clip["kept"] for clip in answer["clips"]] == [True, True, False]
    there, changed, gone = sorted(answer["clips"], key=lambda clip: clip["source_key"])
    assert gone["reason_text"]
    status, data, headers = page.request("GET", f"/picture/mel?item={quote(there['item'])}")
    assert (status, headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(data)).format == "PNG"
    status, data, headers = page.request("GET", f"/api/sound?item={quote(there['item'])}")
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "audio/wav", "no-store")
    samples, rate = soundfile.read(io.BytesIO(data))
    assert (rate, len(samples)) == (16_000, int(16_000 * TONE_S))
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.01)
    for clip, why in ((changed, "is not the file any more that the build listened to"), (gone, "cannot be read")):
        status, said, _ = page.request("GET", f"/api/sound?item={quote(clip['item'])}")
        assert status == 404
        assert why in said["error"]
        assert "\n" not in said["error"]


def test_people_are_found_by_name_and_id(page: Served) -> None:
    assert [each["person"] for each in page.get("/api/people?search=person%207")["people"]] == ["id00007"]
    assert len(page.get("/api/people?search=id000")["people"]) == 20


def test_who_opts_out_is_gone_at_once(root: Path) -> None:
    with serving(root) as page:
        before = page.get("/api/faces?view=person=id00021&limit=9")
        assert before["count"] == 3
        number = before["faces"][0]["number"]
        clip = page.get("/api/clips?person=id00021")["clips"][0]["item"]
        assert page.request("GET", f"/picture/face?number={number}&generation=1")[0] == 200
        total = page.get("/api/faces?limit=1")["count"]
        optouts.state(open_storage(root), "id00021", "opted_out", reason=None, at="2026-11-22T09:00:00Z")
        after = page.get("/api/faces?limit=400")
        assert after["count"] == total - 3
        assert after["left_out"] == 3
        assert "id00021" not in str(after)
        for path in (
            *(f"/picture/face?number={number}&generation={each}" for each in (1, after["generation"])),
            f"/api/face?number={number}&generation={after['generation']}",
            f"/picture/mel?item={quote(clip)}",
            f"/api/sound?item={quote(clip)}",
            "/api/faces?view=person=id00021",
            "/api/clips?person=id00021",
            f"/api/place?key={quote(before['faces'][0]['key'])}",
        ):
            assert page.request("GET", path)[0] == 404, path
        assert page.get("/api/people?search=id00021")["people"] == []
        counts = page.get("/api/counts?measures=yaw_deg")
        assert sum(counts["outcomes"].values()) == total - 3
        assert sum(counts["histograms"]["yaw_deg"]["all"]) == sum(counts["histograms"]["yaw_deg"]["kept"]) + sum(
            counts["histograms"]["yaw_deg"]["rejected"]
        )


def test_a_new_catalog_is_seen_and_old_numbers_are_refused(root: Path) -> None:
    with serving(root) as page:
        number = page.get("/api/faces?limit=1")["faces"][0]["number"]
        assert main(["catalog", "rebuild", "--root", str(root)]) == 0
        assert page.get("/api/faces?limit=1")["generation"] == 2
        assert page.request("GET", f"/picture/face?number={number}&generation=1")[0] == 404
        assert page.request("GET", f"/picture/face?number={number}&generation=2")[0] == 200


def test_only_the_page_itself_may_ask(page: Served) -> None:
    status, html, headers = page.request("GET", f"/?token={page.token}", token=None)
    assert status == 200
    assert b"photos of real people" in html
    assert "default-src 'none'" in headers["content-security-policy"]
    cookie = headers["set-cookie"].partition(";")[0]
    paths = (
        "/api/about",
        "/api/faces",
        "/api/counts",
        "/api/clips?person=id00007",
        "/picture/face?number=1&generation=1",
    )
    for path in paths:
        assert page.request("GET", path, token=None)[0] == 403, path
        assert page.request("GET", path, token="wrong")[0] == 403, path
        assert page.request("GET", path, Host=f"evil.example:{page.port}")[0] == 403, path
        assert page.request("GET", path, Origin="http://evil.example")[0] == 403, path
        assert page.request("GET", path, Sec_Fetch_Site="same-site")[0] == 403, path
        assert page.request("GET", path, token=None, Cookie=cookie)[0] == 200, path
    assert page.request("POST", "/api/faces", {})[0] == 405
    assert page.request("GET", "/", token=None)[0] == 403


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/api/faces?view=sharpnes=..1", 400, "did you mean sharpness?"),
        ("/api/faces?view=person=nobody", 404, "no person 'nobody'"),
        ("/api/faces?offset=-1", 400, "from 0 on"),
        ("/api/faces?limit=5000", 400, "at most 400 at once"),
        ("/api/faces?limit=x", 400, "'x' is no whole number"),
        ("/api/counts?measures=item_id", 400, "no measurement 'item_id'"),
        ("/api/face?number=99999999&generation=1", 404, "no face number 99999999"),
        ("/api/face?number=" + "9" * 400 + "&generation=1", 400, "no whole number"),
        ("/api/place?key=nobody", 404, "no face 'nobody'"),
        ("/api/clips?person=nobody", 404, "no person 'nobody'"),
        ("/api/sound?item=..%2f..%2fetc", 404, "no clip"),
        ("/picture/mel?item=x", 404, "no clip"),
        ("/picture/secret?number=1&generation=1", 404, "there are face, photo"),
        ("/picture/face?number=1&generation=7", 404, "the catalog has changed"),
        ("/assets/uPlot.LICENSE", 404, "no asset"),
    ],
)
def test_bad_requests_are_one_line(page: Served, path: str, status: int, message: str) -> None:
    answer = page.request("GET", path)
    assert answer[0] == status
    assert message in answer[1]["error"]
    assert "\n" not in answer[1]["error"]


def test_nothing_of_ours_is_loaded_from_elsewhere(page: Served) -> None:
    folder = REPOSITORY / "voxdata" / "pages" / "browse" / "assets"
    texts = {each.name: each.read_text(encoding="utf-8") for each in folder.iterdir() if each.name[:5] != "uPlot"}
    assert {"page.html", "page.js", "page.css"} <= set(texts)
    assert not [name for name, text in texts.items() if "https://" in text or "//cdn" in text]


def test_the_chart_library_is_the_released_one() -> None:
    """Each file has the SHA-256 that NOTICE states of the release."""
    notice = (REPOSITORY / "NOTICE").read_text(encoding="utf-8")
    files = sorted((REPOSITORY / "voxdata" / "pages" / "browse" / "assets").glob("uPlot*"))
    assert [file.name for file in files] == ["uPlot.LICENSE", "uPlot.iife.min.js", "uPlot.min.css"]
    for file in files:
        assert f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}" in notice
    assert b"v1.6.32" in files[1].read_bytes()[:200]
    assert "uPlot 1.6.32" in notice


@pytest.mark.long
def test_the_command_serves_the_view_and_a_review_page_until_it_is_stopped(published: Path) -> None:
    with running(published, "--view", "show=rejected&reason=blurred") as (process, page, line):
        assert line.split()[0].endswith("#show=rejected&reason=blurred")
        assert "shows 1 of 118 faces of" in line
        assert page.get("/api/faces?view=reason=blurred")["count"] == 1
        address = page.get("/api/about")["review"]
        review = Served(address, "review")
        assert review.token == page.token
        assert len(review.get("/api/people")["people"]) == 40
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.long
def test_the_command_says_in_one_line_what_it_cannot_do(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        for arguments, status, message in (
            (["--root", str(published), "--view", "sharpnes=..1"], 1, "did you mean sharpness?"),
            (["--root", str(published), "--view", "person=nobody"], 1, "no person 'nobody'"),
            (["--root", str(published), "--port", taken], 1, f"port {taken} on 127.0.0.1 cannot be opened"),
            (["--root", str(published), "--port", "0", "--review-port", taken], 1, f"port {taken} on 127.0.0.1"),
            (["--root", str(tmp_path)], 1, ""),
        ):
            assert main(["browse", *arguments]) == status, arguments
            said = capsys.readouterr().err
            assert message in said
            assert "Traceback" not in said
            assert len(said.strip().splitlines()) == 1, said
