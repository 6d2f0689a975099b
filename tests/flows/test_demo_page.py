"""What the demo shows while its build is under way."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

from PIL import Image

from flows.demo import FIRST_PICTURES, first_page
from voxdata.simulate.corpus import CorpusSettings, write_corpus


def test_some_of_the_painted_people_are_shown_until_the_report_is_there(tmp_path: Path) -> None:
    people = FIRST_PICTURES + 2
    settings = CorpusSettings(people=people, photos_per_person=1, clips_per_person=0, seed=3, link=1.0)
    write_corpus(tmp_path, settings)
    page = first_page(tmp_path)
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)" alt="a photo of (id\d+), a painted person"', page)
    assert len({person for _, person in pictures}) == FIRST_PICTURES
    for picture, _ in pictures:
        Image.open(io.BytesIO(base64.b64decode(picture))).load()
    assert "nobody is real" in page
    assert '<meta http-equiv="refresh" content="20">' in page
    assert not re.search(r"(src|href)=.(?!data:)", page)  # nothing is loaded from anywhere
