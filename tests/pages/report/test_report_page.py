from __future__ import annotations

import html
import json
import re
import shlex
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from flows.cli import main
from tests.pages.report.report_root import HOSTILE, PEOPLE, ReportRoot, WithoutPortraits, WithoutSpeech, write_run
from voxdata.catalog.snapshot import load_snapshot
from voxdata.faces.purity import OFFERED
from voxdata.faces.rules import REASONS as FACE_REASONS
from voxdata.pages.browse.session import Browsing
from voxdata.pages.report.measures import FACE_MEASURES
from voxdata.pages.report.page import POLICY, build_report
from voxdata.speech.rules import REASONS as SPEECH_REASONS
from voxdata.store import journal
from voxdata.store.storage import open_storage


def section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}">(.*?)(?=<section id=|<footer>)', page, re.DOTALL)
    assert found, f"no section {name}"
    return found[1]


def copied(full_root: Path, to: Path) -> Path:
    return Path(shutil.copytree(full_root, to / "copy"))


def test_funnel_names_every_reason_and_loses_nothing(page: str) -> None:
    faces, speech = section(page, "funnel").split("<h3>Speech</h3>")
    for part, reasons, looked_at in ((faces, FACE_REASONS, 3 * PEOPLE), (speech, SPEECH_REASONS, 3 * PEOPLE)):
        assert [name for name in re.findall(r"<b>(\w+)</b>", part) if name in reasons] == list(reasons)
        (kept,) = re.findall(r'class="step end">.*?class="count">(\d+)', part)
        lost = [int(number) for number in re.findall(r"−(\d+) \(", part)]
        assert sum(lost) + int(kept) == looked_at


def test_unchecked_purity_is_a_warning(page: str, full_root: Path, tmp_path: Path) -> None:
    assert "Nobody checked whose faces these are" in section(page, "funnel")
    assert f"voxdata weights pull {OFFERED}" in section(page, "funnel")
    root = copied(full_root, tmp_path / "root")
    (snapshot,) = (root / "snapshots").glob("*.json")
    content = json.loads(snapshot.read_text())
    content["recipe"]["faces"]["measure"]["embedding_model"] = "mobilefacenet"
    snapshot.write_text(json.dumps(content))
    assert "Nobody checked" not in build_report(open_storage(root))


def test_the_commands_of_reasons_and_measurements_open_their_faces(page: str, full_root: Path) -> None:
    """Each is one that the page over the catalog takes, and a reason's has as many faces as the report counts."""
    commands = [html.unescape(each) for each in re.findall(r'<code class="command">(.*?)</code>', page)]
    views = {}
    with closing(Browsing(open_storage(full_root))) as session:
        for command in commands:
            program, name, *words = shlex.split(command)
            assert (program, name, *words[:3]) == ("voxdata", "browse", "--root", str(full_root), "--view")
            views[words[3]] = session.faces(words[3], 0, 1)["count"]
    rejects = section(page, "rejects")
    for reason in set(FACE_REASONS) - {"forgotten", "opted_out"}:
        (count,) = re.findall(rf'<h3><code>{reason}</code>.*?class="note">([\d,]+) ', rejects)
        assert views[f"reason={reason}"] == int(count), reason
    assert views["face_angle_deg=5..&sort=face_angle_deg"] > 0
    assert views["sharpness=..0.06&sort=-sharpness"] == 0  # all of them have 0.2
    assert "--view reason=opted_out" not in page


def test_groups_have_each_rule_with_shares_and_intervals(page: str) -> None:
    """People alternate between the sexes, and person n's second photo fails the n-th rule."""
    part = section(page, "groups")
    female, male = PEOPLE // 2, PEOPLE - PEOPLE // 2
    assert re.findall(r'<th scope="col">((?:fe)?male, \d+)</th>', part) == [f"male, {male}", f"female, {female}"]
    for reason in FACE_REASONS:
        assert len(re.findall(rf'<th scope="row">{reason}</th>(?:<td>[^<]+</td>)+</tr>', part)) == 1, reason
    assert re.search(r"<td>\d+\.\d % \(\d+\.\d % to \d+\.\d %\)</td>", part)
    assert "says nothing about a person" in part


def test_rejects_show_the_value_against_the_limit(page: str) -> None:
    angle = section(page, "rejects").split("<code>face_angle</code>")[1]
    assert "40° &gt; 5°" in angle
    assert angle.index("data:image/jpeg") < angle.index("</section>")


def test_limits_of_the_recipe_are_drawn(page: str, full_root: Path) -> None:
    settings = load_snapshot(open_storage(full_root)).recipe
    measured = section(page, "measurements")
    limited = [measure for measure in FACE_MEASURES if measure.limits(settings).values() and measure.unit != ""]
    assert len(limited) >= 4
    for measure in limited:
        figure = measured.split(f"<b>{measure.label} ({measure.unit})</b>")[1].split("</figure>")[0]
        for limit in measure.limits(settings).values():
            assert f" {limit:g}</text>" in figure or f" {limit:g} →</text>" in figure


def test_share_beyond_the_limit_is_counted(page: str) -> None:
    """Person n's kept face has n degrees and the rejected one 40; the limit is 5."""
    beyond = sum(n > 5 for n in range(PEOPLE)) + PEOPLE
    said = f"{2 * PEOPLE:,} values · limit ≤ 5°, {100 * beyond / (2 * PEOPLE):.1f} % beyond it"
    assert said in section(page, "measurements")


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    assert not re.search(r"https?:|//|<script|<link|@import|url\(", re.sub(r'src="data:[^"]*"', "", page))
    assert all(source.startswith("data:image/jpeg;base64,") for source in re.findall(r'src="([^"]*)"', page))
    assert html.escape(POLICY) in page


def test_hostile_names_stay_text(page: str) -> None:
    assert HOSTILE not in page
    assert html.escape(HOSTILE) in page


def test_same_root_gives_the_same_page(page: str, full_root: Path) -> None:
    assert build_report(open_storage(full_root)) == page


def test_table_1_and_hashes(page: str, full_root: Path) -> None:
    assert ">Train. Set</th>" in section(page, "splits")
    names = section(page, "versions")
    for tar in (full_root / "shards").glob("*.tar"):
        assert tar.name in names


def test_sources_show_licences_portraits_and_photos_of_each_person(page: str) -> None:
    said = section(page, "versions")
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in re.findall(r"<tr>(.*?)</tr>", said, re.DOTALL)]
    people = PEOPLE
    assert ["folder: cc0", f"{3 * people}", str(people), str(people)] in cells
    assert ["folder", str(people), "3", "3", "3", "0", "1.0"] in cells


def test_run_shows_curves_stage_and_samples(page: str) -> None:
    training = section(page, "training")
    for name in ("loss", "l1"):
        assert f"<b>{name}</b>" in training
    assert training.count('class="break"') == 2, "one end of a stage in each of the two charts"
    assert "second row faces generated" in training


def test_retrieval_names_its_embedder_and_keeps_intervals(page: str) -> None:
    found = section(page, "retrieval")
    assert "Face embedder <strong>mobilefacenet</strong> (published)" in found
    assert "61.3 [56.3, 66.3]" in found
    assert "R@5 in galleries of 20" in found
    assert "nan" not in found


def test_gallery_pairs_voices_with_faces(page: str) -> None:
    voices = section(page, "voices")
    assert "shows no real person and identifies nobody" in voices
    assert voices.count("<article") == 2
    assert "true person ranked 8 of 100" in voices
    for card in voices.split("<article")[1:]:
        assert card.count("<img") == 3, "voice, generated face, one true face"


def test_people_who_opted_out_since_are_not_shown(full_root: Path, tmp_path: Path) -> None:
    storage = open_storage(copied(full_root, tmp_path))
    assert "Person 8" in build_report(storage)
    journal.append(storage, "optouts", {"person": "id00008", "reason": "asked", "at": "2026-11-21T10:00:00Z"})
    page = build_report(storage)
    assert "Person 8" not in page
    assert "id00008" not in section(page, "voices")
    assert "Person 9" in page


@pytest.mark.parametrize("name", ["../config.json", "..\\x.png", "missing.png", ""])
def test_gallery_reads_only_its_own_pictures(full_root: Path, tmp_path: Path, name: str) -> None:
    root = copied(full_root, tmp_path)
    gallery = root / "runs" / "sf2f-tiny" / "gallery" / "gallery.json"
    gallery.write_text(gallery.read_text().replace('"id00008.png"', f'"{name}"'.replace("\\", "\\\\")))
    voices = section(build_report(open_storage(root)), "voices")
    assert voices.count("<article") == 1


def test_damaged_runs_are_named_not_fatal(full_root: Path, tmp_path: Path) -> None:
    root = copied(full_root, tmp_path)
    run = root / "runs" / "sf2f-tiny"
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 140, "loss": NaN}\n{"step": 160, "lo')
    (run / "evaluation.json").write_text('{"rows": 3}')
    (run / "gallery" / "gallery.json").write_text("[")
    (run / "samples" / "step-000000120.png").write_bytes(b"no png")
    page = build_report(open_storage(root))
    training = section(page, "training")
    assert "evaluation.json has no rows" in training
    assert "gallery/gallery.json is not a JSON object" in training
    assert "is no picture" in training
    assert "<b>loss</b>" in training


def test_other_snapshots_run_is_marked_and_comes_last(full_root: Path, tmp_path: Path) -> None:
    root = copied(full_root, tmp_path)
    write_run(root, "0" * 16, "a-first-by-name")
    training = section(build_report(open_storage(root)), "training")
    assert training.index("sf2f-tiny") < training.index("a-first-by-name")
    assert f"snapshot {'0' * 16} (not the one of this report)" in training


def test_root_without_speech_and_runs(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    WithoutSpeech(storage, people=4).publish()
    page = build_report(storage)
    assert "No speech was listened to." in page
    assert "No speech was measured." in page
    for name in ("training", "voices", "retrieval"):
        assert "No training run lies under runs/ yet" in section(page, name)
    assert "<figure" in section(page, "portraits")


def test_root_without_portraits(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    WithoutPortraits(storage, people=4).publish()
    page = build_report(storage)
    assert "The snapshot has no portraits" in section(page, "portraits")
    assert "The snapshot has no shards." in section(page, "versions")
    assert "<b>face_angle</b>" in section(page, "funnel")


def test_photos_that_are_gone_leave_their_place(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "root", create=True)
    ReportRoot(storage, people=4).publish()
    shutil.rmtree(tmp_path / "root" / "photos")
    assert 'class="missing"' in section(build_report(storage), "rejects")


def test_command(full_root: Path, tmp_path: Path, page: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert main(["report", "--root", str(full_root), "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == page
    assert main(["report", "--root", str(full_root), "--out", str(tmp_path / "no" / "page.html")]) == 1
    assert f"there is no folder {tmp_path / 'no'}; make it: mkdir -p" in capsys.readouterr().err
    assert main(["report", "--root", str(tmp_path), "--out", str(out)]) == 1
    assert "nothing is published" in capsys.readouterr().err
