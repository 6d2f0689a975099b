"""Whom sources are asked for, whom ambiguous names mean, and what a crawl can be expected to find."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flows.cli import main
from tests.catalog.small_root import SmallRoot
from tests.catalog.small_root import photos as photos_of
from tests.crawl.wikimedia_server import FEMALE, MALE, country, item, person, serve_wiki, text
from voxdata.catalog.publish import publish
from voxdata.catalog.published_recipe import commit_recipe
from voxdata.format.errors import IdentityError, SourceError
from voxdata.people.optouts import OPTED_OUT
from voxdata.people.optouts import state as state_optout
from voxdata.pipeline.corpora import book_of, people_asked_for
from voxdata.pipeline.estimate import estimate
from voxdata.pipeline.steps import crawl
from voxdata.recipe.reading import load_recipe
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.sources.crawl_names import decide, undecided
from voxdata.sources.kinds import Person
from voxdata.store.fragments import parquet_table
from voxdata.store.storage import LocalStorage
from voxdata.tables.faces import PHOTOS

AT = "2026-11-21T09:00:00Z"
METADATA = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
ANN = "id10001\tAnn_Lee\tf\tUK\tdev\n"
BO = "id10002\tBo\tm\tUK\tdev\n"
CY = "id10003\tCy\tm\tUK\tdev\n"
ANNS = {
    "Q1": person("Ann Lee", said="singer", P21=item(FEMALE), P18=text("one.jpg")),
    "Q2": person("Ann Lee", said="botanist", P21=item(FEMALE), P18=text("two.jpg")),
    "Q3": person("Bo", P21=item(MALE), P27=item("Q145"), P18=text("bo.jpg"), P373=text("Bo")),
    "Q145": country("United Kingdom", "UK"),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    corpus = tmp_path_factory.mktemp("corpus")
    write_corpus(corpus, CorpusSettings(people=1, photos_per_person=6, clips_per_person=0, seed=3))
    return [path.read_bytes() for path in sorted((corpus / "photos").rglob("*.jpg"))]


def recipe(tmp_path: Path, wiki: Any, *sets: str, table: str = ANN + BO) -> Any:
    metadata = tmp_path / "meta.csv"
    metadata.write_text(METADATA + table)
    photos = json.dumps(wiki if isinstance(wiki, dict) else wiki.settings)
    return load_recipe(
        "hq-voxceleb-automatic", [f"sources.photos={photos}", f"sources.metadata.path={metadata}", *sets]
    )


def asked(tmp_path: Path, storage: LocalStorage, *sets: str, table: str = ANN + BO + CY) -> list[Person]:
    made = recipe(tmp_path, {"kind": "wikimedia"}, *sets, table=table)
    return people_asked_for(storage, made, book_of(storage, made))


def test_everybody_of_the_metadata_is_asked_for_but_who_must_not_be(tmp_path: Path, storage: LocalStorage) -> None:
    everybody = asked(tmp_path, storage)
    assert everybody[0] == Person(identity="id10001", name="Ann Lee", sex="f", nationality="UK")
    state_optout(storage, "id10002", OPTED_OUT, reason=None, at=AT)
    metadata = ["--metadata", str(tmp_path / "meta.csv")]
    assert main(["forget", "id10003", "--ahead", "--reason", "r", "--root", storage.url, "--yes", *metadata]) == 0
    assert [each.name for each in asked(tmp_path, storage)] == ["Ann Lee"]
    made = load_recipe("hq-voxceleb-automatic", ["sources.photos.path=x"])
    assert people_asked_for(storage, made, book_of(storage, made)) == []


def test_where_there_is_speech_only_those_who_speak_are_asked_for(
    tmp_path: Path, storage: LocalStorage, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in ("Bo", "id99999", "New Name"):
        (tmp_path / "wav" / folder).mkdir(parents=True)
        (tmp_path / "wav" / folder / "1.wav").write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        people = asked(tmp_path, storage, f"sources.speech.path={tmp_path / 'wav'}")
    assert [(each.identity, each.name, each.sex) for each in people] == [
        ("id10002", "Bo", "m"),
        ("New Name", "New Name", "unknown"),
    ]
    assert "1 people are not asked for, because nothing but a number is known of them, as id99999" in caplog.text


def test_an_ambiguous_name_waits_for_a_word_which_the_next_build_heeds(
    tmp_path: Path, storage: LocalStorage, photos: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    files = dict(zip(("one.jpg", "two.jpg", "bo.jpg"), photos, strict=False))
    with serve_wiki(items=ANNS, files=files) as wiki:
        made = recipe(tmp_path, wiki)
        first = parquet_table(storage.read(crawl(storage, made)))
        assert [row["identity"] for row in first.to_pylist()] == ["id10002"]
        assert main(["crawl", "names", "--root", storage.url, "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert [(row["identity"], row["choice"], row["description"]) for row in rows] == [
            ("id10001", "Q1", "singer"),
            ("id10001", "Q2", "botanist"),
        ]
        assert main(["crawl", "names", "--root", storage.url, "--choose", "id10001", "Q9"]) == 1
        assert "Q9 is none of those whom the name of id10001 may mean: Q1, Q2" in capsys.readouterr().err
        assert main(["crawl", "names", "--root", storage.url, "--choose", "id10001", "Q2"]) == 0
        second = {row["identity"]: row for row in parquet_table(storage.read(crawl(storage, made))).to_pylist()}
        assert second["id10001"]["source_key"].endswith("/two.jpg")
        assert undecided(storage) == []
        assert main(["crawl", "names", "--root", storage.url, "--nobody", "id10001"]) == 0
        third = parquet_table(storage.read(crawl(storage, made)))
        assert third["identity"].to_pylist() == ["id10002"]
    with pytest.raises(IdentityError, match="the name of id10002 is not known to mean several people"):
        decide(storage, "id10002", "Q1", at=AT)


def test_an_estimate_asks_a_sample_and_projects_it(
    tmp_path: Path, storage: LocalStorage, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.csv").write_text(
        "name,url,licence\nBo,http://h/1.jpg,CC0\nBo,http://h/2.jpg,CC BY 4.0\nEve,http://h/3.jpg,\n"
    )
    with serve_wiki(
        items=ANNS,
        categories={"Bo": ["1.jpg", "2.jpg", "3.jpg"]},
        metadata={"1.jpg": {"LicenseShortName": "CC BY 4.0"}},
    ) as wiki:
        made = recipe(tmp_path, wiki, "crawl.photos_per_identity=3", table=ANN + BO + CY)
        sources = [*made.sources.photos, {"kind": "list", "path": str(tmp_path / "list.csv"), "licences": ["CC0-1.0"]}]
        both = load_recipe(
            "hq-voxceleb-automatic",
            [
                f"sources.photos={json.dumps([sources[0].model_dump(mode='json'), sources[1]])}",
                f"sources.metadata.path={tmp_path / 'meta.csv'}",
                "crawl.photos_per_identity=3",
            ],
        )
        found = estimate(storage, both, 50, 0, lambda said: None)
        words = ["crawl", "estimate", str(tmp_path / "mine.yaml"), "--root", storage.url, "--people", "2"]
        (tmp_path / "mine.yaml").write_text(json.dumps(both.model_dump(mode="json")))
        assert main(words) == 0
        shown = capsys.readouterr().out
        assert main([*words, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert main([*words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == said
        assert not list(wiki.asked.queries("/files/bo.jpg"))
    wikimedia, listed = found.sources
    assert (found.people, wikimedia.photos, wikimedia.ambiguous) == (
        3,
        {"id10001": 0, "id10002": 3, "id10003": 0},
        {"id10001"},
    )
    assert (listed.photos["id10002"], dict(listed.refused)) == (1, {"CC-BY-4.0": 1})
    assert dict(wikimedia.licences) == {"unknown": 2, "CC-BY-4.0": 1}
    assert found.projected(wikimedia) == 3
    assert (said["people"], said["asked"], len(said["sources"])) == (3, 2, 2)
    assert "2 of 3 people were asked for" in shown
    assert not storage.keys("photos")


def test_an_estimate_says_what_became_of_photos_that_the_same_source_gave_before(
    tmp_path: Path, storage: LocalStorage, capsys: pytest.CaptureFixture[str]
) -> None:
    root = SmallRoot(storage, people=4)
    root.stage_tables()
    rows = [{**row, "source": "corpus-0"} for n in range(4) for row in photos_of(n)]
    root.commit("photos", pa.Table.from_pylist(rows, PHOTOS.schema))
    (tmp_path / "list.csv").write_text("name,url\nBo,http://h/1.jpg\n")
    with serve_wiki(items=ANNS) as wiki:
        searched = recipe(tmp_path, wiki, table=ANN + BO + CY)
        where = [f"sources.photos={json.dumps([{'kind': 'list', 'path': str(tmp_path / 'list.csv')}])}"]
        listed = load_recipe("hq-voxceleb-automatic", [*where, f"sources.metadata.path={tmp_path / 'meta.csv'}"])
        snapshot = root.build_staged()
        publish(storage, snapshot.id, at=AT, tables=root.tables, recipe=commit_recipe(storage, listed))
        said = {}
        for each in (searched, listed):
            (tmp_path / "mine.yaml").write_text(json.dumps(each.model_dump(mode="json")))
            assert main(["crawl", "estimate", str(tmp_path / "mine.yaml"), "--root", storage.url, "--json"]) == 0
            (row,) = json.loads(capsys.readouterr().out)["sources"]
            said[row["kind"]] = (row["source"], row["fetched"], row["portraits_per_person"], row["portraits_for_all"])
    assert said == {"wikimedia": ("corpus-0", None, None, None), "list": ("corpus-0", 12, 1.0, 3)}


@pytest.mark.long
def test_only_people_with_fewer_portraits_are_looked_for_and_these_anew(tmp_path: Path, storage: LocalStorage) -> None:
    SmallRoot(storage, people=1).publish()  # id00000 has one portrait
    with serve_wiki(items=ANNS) as wiki:
        made = recipe(tmp_path, wiki, table="id00000\tCy\tm\tUK\tdev\n" + BO)

        def looked_for(below: int | None) -> list[str]:
            before = len(wiki.asked.queries("/w/api.php"))
            crawl(storage, made, below=below)
            return [query["search"] for query in wiki.asked.queries("/w/api.php")[before:] if "search" in query]

        assert looked_for(1) == ["Bo"]
        assert looked_for(2) == ["Cy", "Bo"]
        assert looked_for(None) == []


def test_an_estimate_of_nobody_says_what_to_name(storage: LocalStorage) -> None:
    made = load_recipe("hq-voxceleb-automatic", ["sources.photos.kind=wikimedia"])
    with pytest.raises(SourceError, match=r"nobody is known who could be asked for.*sources\.metadata\.path"):
        estimate(storage, made, 5, 0, lambda said: None)


def test_forgetting_somebody_takes_their_names_along(tmp_path: Path, storage: LocalStorage) -> None:
    with serve_wiki(items=ANNS) as wiki:
        crawl(storage, recipe(tmp_path, wiki))
        decide(storage, "id10001", "Q1", at=AT)
        words = ["--reason", "letter 12", "--root", storage.url, "--metadata", str(tmp_path / "meta.csv"), "--yes"]
        assert main(["forget", "id10001", *words]) == 0
        left = [row for key in storage.keys("photos") for row in parquet_table(storage.read(key)).to_pylist()]
        assert not [row for row in left if "id10001" in str(row) or "Ann Lee" in str(row)]
        before = len(wiki.asked.requests)
        crawl(storage, recipe(tmp_path, wiki, table=ANN))
        assert len(wiki.asked.requests) == before
