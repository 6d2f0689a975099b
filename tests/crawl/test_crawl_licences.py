"""Licences by one name each, and which of them a recipe takes."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.crawl.finding import source
from voxdata.people.identities import load_book
from voxdata.recipe.reading import load_recipe
from voxdata.recipe.sections import Crawl
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.simulate.site import start_site
from voxdata.sources.licences import licence_name, taken
from voxdata.sources.originals import PhotoStore
from voxdata.store.storage import open_storage

DEED = "https://creativecommons.org"


@pytest.mark.parametrize(
    ("name", "url", "known"),
    [
        ("CC BY-SA 4.0", None, "CC-BY-SA-4.0"),
        ("CC BY-SA 4.0", f"{DEED}/licenses/by-sa/4.0", "CC-BY-SA-4.0"),
        ("by-sa", f"{DEED}/licenses/by-sa/2.0/", "CC-BY-SA-2.0"),
        ("CC BY-SA 4.0", f"{DEED}/licenses/by/3.0/", "CC-BY-3.0"),  # the deed is what binds
        ("cc-by-2.5", None, "CC-BY-2.5"),
        ("CC BY 3.0 de", None, "CC-BY-3.0-DE"),
        (None, "http://creativecommons.org/licenses/by/3.0/br/deed.pt", "CC-BY-3.0-BR"),
        (f"{DEED}/licenses/by-nc-nd/2.0/legalcode", None, "CC-BY-NC-ND-2.0"),
        ("Creative Commons Attribution-Share Alike 3.0", None, "CC-BY-SA-3.0"),
        ("Creative Commons Attribution-NonCommercial 2.0", None, "CC-BY-NC-2.0"),
        ("CC BY-SA 2.5,2.0,1.0", None, "CC-BY-SA-2.5"),
        ("CC BY", None, "CC-BY"),
        ("CC0", None, "CC0-1.0"),
        ("cc0 1.0", f"{DEED}/publicdomain/zero/1.0/", "CC0-1.0"),
        ("pdm", f"{DEED}/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("Public domain", None, "public-domain"),
        ("PD US Navy", None, "public-domain"),
        ("All Rights Reserved", None, "all-rights-reserved"),
        ("GFDL 1.2", None, "GFDL-1.2-only"),
        ("Pexels License", "https://www.pexels.com/license/", "Pexels License"),
        ("  research\n only ", None, "research only"),
        ("by-xx", f"{DEED}/licenses/by-xx/4.0/", "by-xx"),
        ("MIT", "http://[", "MIT"),
        ("", None, None),
        (None, None, None),
    ],
)
def test_a_licence_has_one_name(name: str | None, url: str | None, known: str | None) -> None:
    assert licence_name(name, url) == known
    assert licence_name(known) == known


@given(st.text(), st.text())
def test_any_text_is_a_name_that_stays(name: str, url: str) -> None:
    known = licence_name(name, url)
    assert known is None or (known and licence_name(known) == known)


def test_an_asterisk_stands_for_all_that_begin_so() -> None:
    assert taken("CC-BY-SA-4.0", ["CC0-1.0", "cc-by-*"])
    assert not taken("CC-BY-SA-4.0", ["CC0-1.0", "CC-BY-4.0"])
    assert not taken("unknown", ["CC-BY-*"])
    assert taken("unknown", [])


LISTED = (("CC BY 4.0", "Jo"), ("All rights reserved", "Al"), ("", ""))


def test_photos_under_other_licences_are_counted_and_not_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_corpus(tmp_path / "corpus", CorpusSettings(people=1, photos_per_person=3, clips_per_person=0, seed=2))
    storage = open_storage(tmp_path / "root", create=True)
    names = sorted(path.relative_to(tmp_path / "corpus") for path in (tmp_path / "corpus" / "photos").rglob("*.jpg"))
    with start_site(tmp_path / "corpus") as site:
        rows = [
            {
                "name": "Ann",
                "url": f"{site.url}/{name}",
                "licence": licence,
                "author": author,
                "page_url": f"{site.url}/p",
            }
            for name, (licence, author) in zip(names, LISTED, strict=True)
        ]
        (tmp_path / "list.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        store = PhotoStore(storage, load_book([]), Crawl(private_addresses=["127.0.0.1"]))
        wanted = source(kind="list", path=str(tmp_path / "list.jsonl"), licence="CC-BY-2.0", licences=["CC-BY-*"])
        with caplog.at_level(logging.WARNING):
            store.add(wanted, "corpus-0", "sources.photos")
            kept = {row["source_key"]: row for row in store.manifest().to_pylist()}
    assert set(kept) == {rows[0]["url"], rows[2]["url"]}
    assert [path for path in site.requests if path.endswith(".jpg")] == [f"/{names[0]}", f"/{names[2]}"]
    assert (kept[rows[0]["url"]]["licence"], kept[rows[0]["url"]]["author"]) == ("CC-BY-4.0", "Jo")
    assert (kept[rows[2]["url"]]["licence"], kept[rows[2]["url"]]["author"]) == ("CC-BY-2.0", None)
    assert kept[rows[0]["url"]]["page_url"] == f"{site.url}/p"
    assert "sources.photos.licences=['CC-BY-*']: 1 photos are left out, under all-rights-reserved (1)" in caplog.text


def test_a_recipe_that_takes_every_licence_is_what_it_was() -> None:
    plain = load_recipe("hq-voxceleb-automatic")
    assert "licences" not in plain.model_dump(mode="json")["sources"]["photos"]
    some = load_recipe("hq-voxceleb-automatic", ["sources.photos.licences=[CC0-1.0]"])
    assert some.result_settings() != plain.result_settings()
    assert some.result_settings()["sources"]["photos"]["licences"] == ["CC0-1.0"]
