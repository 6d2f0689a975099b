"""The server of `voxdata review` over loopback."""

from __future__ import annotations

import io
import json
import shutil
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

from flows.cli import main
from tests.pages.review.review_root import CAP, Page, ask, build_root, running, serving
from voxdata.catalog.named import named_query
from voxdata.store import journal
from voxdata.store.storage import open_storage


def words_of(root: Path) -> list[dict[str, Any]]:
    rows = journal.read(open_storage(root), "reviews")
    return [] if rows is None else rows.to_pylist()


def sheet_of(page: Page, person: str, reviewer: str = "ann") -> list[dict[str, Any]]:
    faces: list[dict[str, Any]] = page.get(f"/api/person?person={quote(person)}&reviewer={reviewer}")["faces"]
    return faces


def one(root: Path, where: str) -> dict[str, Any]:
    found = ask(root, f"SELECT * FROM faces WHERE {where} ORDER BY face_id LIMIT 1")
    assert found, where
    return found[0]


def test_the_page_needs_the_token_and_sends_its_policy(reader: Page) -> None:
    status, html, headers = reader.request("GET", f"/?token={reader.token}", token=None)
    assert status == 200
    assert b"real people" in html
    assert b"quality of the picture only" in html
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    for path in ("/", "/?token=wrong", "/?token=", "/api/people", "/picture/portrait?key=x"):
        assert reader.request("GET", path, token=None)[0] == 403, path
    assert reader.request("GET", "/api/people", token="wrong")[0] == 403
    assert reader.request("GET", "/api/about", token=None, Cookie=cookie.partition(";")[0])[0] == 200


def test_nothing_is_loaded_from_elsewhere(reader: Page) -> None:
    _, html, _ = reader.request("GET", f"/?token={reader.token}", token=None)
    texts = [html.decode()]
    for name in ("page.css", "page.js", "server.js", "sheet.js", "people.js"):
        status, content, _ = reader.request("GET", f"/assets/{name}", token=None)
        assert status == 200
        texts.append(content.decode())
    assert not [text for text in texts if "http://" in text or "https://" in text or "//cdn" in text]


def test_writes_that_are_refused_leave_nothing_behind(page: Page, root: Path) -> None:
    key = one(root, "portrait")["face_id"]
    body = {"reviewer": "ann", "key": key, "decision": "reject"}
    _, _, headers = page.request("GET", f"/?token={page.token}", token=None)
    cookie = headers["set-cookie"].partition(";")[0]
    here = f"http://{page.host}:{page.port}"
    refused: list[tuple[int, dict[str, Any]]] = [
        (403, {"token": None}),
        (403, {"token": "wrong"}),
        (403, {"token": None, "Cookie": cookie}),  # what another site's form could send
        (403, {"Origin": "http://evil.example"}),
        (403, {"Origin": f"http://{page.host}:{page.port + 1}"}),
        (403, {"Sec_Fetch_Site": "cross-site"}),
        (403, {"Host": f"evil.example:{page.port}"}),
        (400, {"Content_Type": "text/plain"}),
        (400, {"Content_Type": "application/x-www-form-urlencoded"}),
    ]
    for status, given in refused:
        assert page.request("POST", "/api/say", body, **given)[0] == status, given
    status, _, headers = page.request("OPTIONS", "/api/say", Origin="http://evil.example")
    assert status == 403
    assert not [name for name in headers if name.startswith("access-control")]
    assert words_of(root) == []
    assert page.request("POST", "/api/say", body, Origin=here)[0] == 200
    assert len(words_of(root)) == 1


@pytest.mark.parametrize(
    "path",
    [
        *("/assets/../server.py", "/assets/..%2fserver.py", "/assets/%2e%2e/%2e%2e/errors.py", "/../../etc/passwd"),
        *("/picture/portrait?key=../../../etc/passwd", "/picture/..%2fcrop?key=x", "/picture/secret?key=x"),
        *("/api/face?key=..%2f..%2fcatalog.duckdb", "/api/person?person=..%2f..", "/catalog.duckdb", "/nothing"),
    ],
)
def test_paths_lead_nowhere(reader: Page, path: str) -> None:
    status, content, _ = reader.request("GET", path)
    assert status == 404
    assert content["error"]


def test_bad_requests_are_one_line(reader: Page, built: Path) -> None:
    key = one(built, "portrait")["face_id"]
    unread = one(built, "face_id IS NULL")["item_id"]
    good = {"reviewer": "ann", "key": key, "decision": "keep"}
    for change, status, message in (
        ({"key": "id90001/nobody_0"}, 404, "no face"),
        ({"key": unread}, 400, "cannot be judged"),
        ({"decision": "maybe"}, 400, "keep, reject, withdrawn"),
        ({"reviewer": " "}, 400, "printable"),
        ({"reviewer": 7}, 400, "each a text"),
        ({"key": None}, 400, "each a text"),
    ):
        answer = reader.request("POST", "/api/say", {**good, **change})
        assert answer[0] == status, change
        assert message in answer[1]["error"]
    assert reader.request("POST", "/api/say", b"{")[0] == 400
    assert reader.request("POST", "/api/say", b"[]")[0] == 400
    assert reader.request("POST", "/api/say", {**good, "key": "x" * 20_000})[0] == 413
    assert reader.request("GET", "/api/people?offset=abc")[0] == 400
    assert reader.request("GET", "/api/people?show=secret")[0] == 400
    assert reader.undo()[0] == 400
    assert words_of(built) == []


def test_the_sheet_has_every_face_its_picture_and_its_reason(reader: Page, built: Path) -> None:
    for person in reader.get("/api/people?reviewer=ann")["people"]:
        faces = sheet_of(reader, person["person"])
        known = ask(built, f"SELECT * FROM faces WHERE person = '{person['person']}'")
        assert {face["key"] for face in faces} == {row["face_id"] or row["item_id"] for row in known}
        on_sheet = [face for face in faces if face["sheet"]]
        assert {face["key"] for face in on_sheet} == {row["face_id"] for row in known if row["candidate"]}
        assert [face["rank"] for face in on_sheet] == list(range(1, len(on_sheet) + 1))
        assert len(on_sheet) <= 2 * CAP
        for face in faces:
            assert face["portrait"] or face["reason_text"]
            if face["picture"] is not None:
                status, data, headers = reader.request("GET", f"/picture/{face['picture']}?key={quote(face['key'])}")
                assert status == 200, face
                assert headers["content-type"] == "image/jpeg"
                assert Image.open(io.BytesIO(data)).size[0] >= 32


def test_a_portrait_is_the_rendered_one_and_the_photo_is_the_original(reader: Page, built: Path) -> None:
    face = one(built, "portrait")
    portrait = reader.get(f"/picture/portrait?key={quote(face['face_id'])}")
    (sample,) = ask(built, f"SELECT tar, members FROM samples WHERE key = '{face['face_id']}'")
    (where,) = [member for member in sample["members"] if member["suffix"] == "jpg"]
    packed = (built / sample["tar"]).read_bytes()[where["byte_offset"] :][: where["size_bytes"]]
    assert portrait == packed
    photo = Image.open(io.BytesIO(reader.get(f"/picture/photo?key={quote(face['face_id'])}")))
    assert photo.size == (face["photo_width_px"], face["photo_height_px"])


def test_measurements_limits_and_source_of_a_face(reader: Page, built: Path) -> None:
    face = one(built, "reason = 'face_angle'")
    facts = reader.get(f"/api/face?key={quote(face['face_id'])}")
    (angle,) = [row for row in facts["measurements"] if row["label"] == "Face angle"]
    assert angle["fails"]
    assert angle["limits"] == "≤ 12°"
    assert facts["reasons"][0] == {"name": "face_angle", "text": "turned away from the camera"}
    (photo,) = ask(built, f"SELECT source_key, licence FROM photos WHERE item_id = '{face['item_id']}'")
    assert facts["source_key"] == photo["source_key"]
    assert facts["licence"] == photo["licence"]


def test_search_filters_progress_and_the_next_identity(page: Page, root: Path) -> None:
    people = page.get("/api/people?reviewer=ann")["people"]
    first, second = people[0], people[1]
    name = first["names"][0].split()[0].upper()
    found = page.get(f"/api/people?reviewer=ann&search={quote(name)}")
    assert [person["person"] for person in found["people"]] == [first["person"]]
    assert page.get("/api/people?reviewer=ann&offset=1")["people"][0]["person"] == second["person"]
    for face in sheet_of(page, first["person"]):
        if face["portrait"]:
            page.say(face["key"], "keep")
    answer = page.get("/api/people?reviewer=ann&show=done")
    assert [person["person"] for person in answer["people"]] == [first["person"]]
    assert answer["progress"]["done"] == 1
    assert first["person"] not in [row["person"] for row in page.get("/api/people?reviewer=ann&show=todo")["people"]]
    assert page.get("/api/people?reviewer=bob")["progress"]["done"] == 0
    ask_next = f"/api/neighbour?reviewer=ann&person={first['person']}"
    assert page.get(ask_next)["person"] == second["person"]
    assert page.get(f"{ask_next}&step=-1")["person"] is None
    assert page.get(f"/api/neighbour?reviewer=ann&show=todo&step=-1&person={second['person']}")["person"] is None


def test_words_of_two_reviewers_at_once_are_all_kept(page: Page, root: Path) -> None:
    rows = ask(root, "SELECT face_id FROM faces WHERE candidate ORDER BY face_id")
    said = [(row["face_id"], name, word) for row in rows for name in ("ann", "bob") for word in ("keep", "reject")]
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda one: page.say(one[0], one[2], one[1])[0], said))
    assert set(statuses) == {200}
    kept = words_of(root)
    assert len(kept) == len(said)
    assert len({word["reviewed_at"] for word in kept}) == len(said)  # no two share a moment: their order is known
    last = {(word["photo_sha256"], word["reviewer"]): word["decision"] for word in kept}
    for row in rows:
        words = page.get(f"/api/person?person={row['face_id'].split('/')[0]}&reviewer=ann")["faces"]
        (shown,) = [face for face in words if face["key"] == row["face_id"]]
        (photo,) = ask(root, f"SELECT photo_sha256 FROM faces WHERE face_id = '{row['face_id']}'")
        assert shown["mine"] == last[photo["photo_sha256"], "ann"]


def test_another_s_word_is_seen_only_after_one_s_own(page: Page, root: Path) -> None:
    face = one(root, "portrait")
    key, person = face["face_id"], face["person"]
    page.say(key, "keep", "bob")

    def seen(reviewer: str) -> dict[str, Any]:
        return next(each for each in sheet_of(page, person, reviewer) if each["key"] == key)

    assert (seen("ann")["mine"], seen("ann")["others"]) == (None, {})
    status, answer = page.say(key, "reject")
    assert (status, answer["others"]) == (200, {"bob": "keep"})
    assert answer["progress"]["disagreements"] == 1
    (dispute,) = page.get("/api/disagreements")["faces"]
    assert (dispute["key"], dispute["words"]) == (key, {"ann": "reject", "bob": "keep"})
    (pair,) = page.get("/api/agreement")["pairs"]
    assert (pair["faces"], pair["agreement"]) == (1, 0.0)
    assert page.undo()[1]["mine"] is None
    assert page.get("/api/disagreements")["faces"] == []


def test_people_who_opted_out_are_gone_at_once(page: Page, root: Path) -> None:
    hidden = page.get("/api/people")["people"][0]["person"]
    key = next(face["key"] for face in sheet_of(page, hidden) if face["sheet"])
    page.say(key, "keep")
    journal.append(open_storage(root), "optouts", {"person": hidden, "reason": "asked", "at": "2026-01-01"})
    assert hidden not in [row["person"] for row in page.get("/api/people")["people"]]
    assert page.get("/api/people")["progress"] == {"all": 2, "done": 0, "disagreements": 0}
    for path in (f"/api/person?person={hidden}", f"/api/face?key={quote(key)}", f"/picture/portrait?key={quote(key)}"):
        assert page.request("GET", path)[0] == 404
    assert page.say(key, "reject")[0] == 404


def test_a_reject_and_a_keep_act_in_the_next_publish(page: Page, root: Path, corpus: Path) -> None:
    rejected = one(root, "portrait AND rank = 1")
    kept = one(root, f"reason = 'smiling' AND person <> '{rejected['person']}'")
    taken_back = one(root, f"portrait AND rank = 1 AND person <> '{rejected['person']}'")
    for key, word in ((rejected["face_id"], "reject"), (kept["face_id"], "keep"), (taken_back["face_id"], "reject")):
        assert page.say(key, word)[0] == 200
    assert page.undo()[1]["key"] == taken_back["face_id"]
    before = page.get("/api/about")
    build_root(root, corpus)
    reasons = {row["face_id"]: row["reason"] for row in ask(root, "SELECT face_id, reason FROM faces")}
    portraits = {row["key"] for row in ask(root, "SELECT key FROM samples WHERE kind = 'faces'")}
    assert reasons[rejected["face_id"]] == "human_reject"
    assert rejected["face_id"] not in portraits
    assert kept["face_id"] in portraits
    same = ask(root, f"SELECT key FROM portraits WHERE person = '{rejected['person']}'")
    assert len(same) == CAP  # the next best one moved up
    assert reasons[taken_back["face_id"]] in (None, "over_cap")
    after = page.get("/api/about")  # the running page sees the new build
    assert after["dataset"] != before["dataset"]
    (shown,) = [face for face in sheet_of(page, rejected["person"]) if face["key"] == rejected["face_id"]]
    assert (shown["sheet"], shown["picture"], shown["mine"]) == (True, "portrait", "reject")


def test_the_command_prints_the_address_and_ctrl_c_ends_it_with_a_line(root: Path) -> None:
    with running(root, "--reviewer", "cy") as (process, page):
        assert page.get("/api/about")["reviewer"] == "cy"
        page.say(one(root, "portrait")["face_id"], "keep")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert output.rstrip().endswith(": 1")


def test_a_port_in_use_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert main(["review", "--root", str(root), "--port", port]) == 1
    assert f"port {port} on 127.0.0.1 cannot be opened: Address already in use" in capsys.readouterr().err
    assert main(["review", "--root", str(root), "--port", "70000"]) == 1
    assert main(["review", "--root", str(root), "--host", "no.such.host.invalid"]) == 1
    assert "cannot be opened" in capsys.readouterr().err


def test_a_root_without_a_build_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", "--root", str(tmp_path / "missing")]) == 1
    assert "voxdata build" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["review", "--root", str(tmp_path / "empty")]) == 1
    assert "voxdata build" in capsys.readouterr().err


def test_missing_fragments_and_originals_are_missing_pictures_only(root: Path) -> None:
    face = one(root, "portrait")
    shutil.rmtree(root / "fragments" / "faces.render")
    shutil.rmtree(root / "photos")
    with serving(root, "cy") as page:
        assert page.get("/api/about")["reviewer"] == "cy"
        assert sheet_of(page, face["person"])
        for kind in ("portrait", "crop", "photo"):
            assert page.request("GET", f"/picture/{kind}?key={quote(face['face_id'])}")[0] == 404


@pytest.mark.long
def test_a_keep_on_a_shared_photo_says_whose_portrait_it_is(root: Path, corpus: Path, tmp_path: Path) -> None:
    folders = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    face = one(root, "portrait AND rank = 1")
    (photo,) = ask(root, f"SELECT source_key FROM photos WHERE item_id = '{face['item_id']}'")
    original = folders / "photos" / photo["source_key"]
    other, third = sorted(path for path in (folders / "photos").iterdir() if path != original.parent)
    shutil.copy(original, other / "same.jpg")
    Image.open(original).save(third / "copy.jpg", quality=60)
    build_root(root, folders)
    (cluster,) = ask(root, f"SELECT photo_cluster FROM faces WHERE face_id = '{face['face_id']}'")
    shared = ask(
        root, f"SELECT * FROM faces WHERE photo_cluster = '{cluster['photo_cluster']}' AND face_id IS NOT NULL"
    )
    assert len(shared) == 3
    assert {row["reason"] for row in shared} == {"shared_photo"}
    mine, same, copy = (
        next(row for row in shared if chosen(row))
        for chosen in (
            lambda row: row["face_id"] == face["face_id"],
            lambda row: row["photo_sha256"] == face["photo_sha256"] and row["person"] != face["person"],
            lambda row: row["photo_sha256"] != face["photo_sha256"],
        )
    )

    def card(page: Page, row: dict[str, Any]) -> dict[str, Any]:
        return next(each for each in sheet_of(page, row["person"]) if each["key"] == row["face_id"])

    def portraits() -> set[str]:
        found = ask(root, f"SELECT person FROM portraits WHERE photo_cluster = '{cluster['photo_cluster']}'")
        return {row["person"] for row in found}

    with serving(root) as page:
        assert (card(page, mine)["also"], card(page, mine)["near"]) == ([same["person"]], [copy["person"]])
        status, answer = page.say(mine["face_id"], "keep")
        assert (status, answer["mine_for"], answer["kept_for"]) == (200, mine["person"], [])
        assert page.say(mine["face_id"], "keep")[0] == 200
        assert [word["identity"] for word in words_of(root)] == [mine["identity"]]
        assert card(page, same)["mine"] == "keep"
        assert card(page, same)["kept_for"] == card(page, copy)["kept_for"] == [mine["person"]]
        build_root(root, folders)
        assert portraits() == {mine["person"]}
        page.say(same["face_id"], "keep")  # it moves
        build_root(root, folders)
        assert portraits() == {same["person"]}
        page.say(copy["face_id"], "keep")  # two words, two people: nobody's
        build_root(root, folders)
        assert portraits() == set()
        assert {row["face_id"] for row in undecided(root)} == {same["face_id"], copy["face_id"]}
        page.undo()
        page.undo()  # back to the first person, whom the word before named
        assert words_of(root)[-1]["identity"] == mine["identity"]
        page.say(same["face_id"], "keep", "bob")
        assert {each["key"] for each in page.get("/api/disagreements")["faces"]} == {mine["face_id"], same["face_id"]}
    build_root(root, folders)
    assert portraits() == set()
    assert {row["reason"] for row in undecided(root)} == {"reviewers_disagree"}
    assert ask(root, named_query("split-leaks").sql) == []


@pytest.mark.long
def test_older_keeps_that_name_nobody_leave_a_shared_photo_to_the_rules(
    root: Path, corpus: Path, tmp_path: Path
) -> None:
    folders = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    face = one(root, "portrait AND rank = 1")
    (photo,) = ask(root, f"SELECT source_key FROM photos WHERE item_id = '{face['item_id']}'")
    original = folders / "photos" / photo["source_key"]
    other = next(path for path in sorted((folders / "photos").iterdir()) if path != original.parent)
    shutil.copy(original, other / "same.jpg")
    with serving(root) as page:
        page.say(face["face_id"], "keep")
    (stored,) = (root / "journal" / "reviews").iterdir()
    word = json.loads(stored.read_text())
    del word["identity"]  # as it was stored before words had names
    stored.write_text(json.dumps(word))
    build_root(root, folders)
    found = ask(root, f"SELECT reason FROM faces WHERE photo_sha256 = '{face['photo_sha256']}' AND face_id IS NOT NULL")
    assert [row["reason"] for row in found] == ["shared_photo", "shared_photo"]
    assert [row["kept_for"] for row in undecided(root)] == [None, None]
    with serving(root) as page:
        (card,) = [each for each in sheet_of(page, face["person"]) if each["key"] == face["face_id"]]
        assert (card["mine"], card["mine_for"], card["kept_for"]) == ("keep", None, [])
        page.say(face["face_id"], "keep")  # now it says whose
    assert main(["redecide", "--root", str(root)]) == 0
    found = ask(root, f"SELECT person FROM portraits WHERE photo_sha256 = '{face['photo_sha256']}'")
    assert [row["person"] for row in found] == [face["person"]]


def undecided(root: Path) -> list[dict[str, Any]]:
    """Kept faces that stay out, with their reasons."""
    listed = named_query("reviewer-disagreements").sql.rstrip().rstrip(";")
    return ask(root, f"SELECT found.*, faces.reason FROM ({listed}) found JOIN faces USING (face_id)")
