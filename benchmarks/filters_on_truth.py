"""What the filters reject of a simulated corpus, beside what they should: python benchmarks/filters_on_truth.py"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from pathlib import Path

import pyarrow as pa

from voxdata.faces import decide, link, measure
from voxdata.faces.columns import FACES
from voxdata.people.identities import bucket_of
from voxdata.recipe.reading import load_recipe
from voxdata.simulate.corpus import CorpusSettings, write_corpus
from voxdata.simulate.truth import judge_clips, judge_photos
from voxdata.speech import decide as speech_decide
from voxdata.speech import measure as speech_measure
from voxdata.store.items import ClipItem, PhotoItem
from voxdata.tables.schemas import UTTERANCES

RESULTS = Path(__file__).parent / "results" / "filters_on_truth.json"
ANGLES_DEG = (5.0, 12.0)


def main() -> None:
    """Simulate, measure, decide, print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", help="not needed: the corpus is simulated")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        truth = write_corpus(corpus, CorpusSettings(people=options.people, seed=options.seed))
        tables = photo_tables(corpus, truth)
        tables["clips"] = clip_table(corpus, truth)
    for name, table in tables.items():
        print(f"\n{name}, {options.people} people, seed {options.seed}\n")
        print(" | ".join(table.column_names))
        for row in table.to_pylist():
            print(" | ".join(str(value) for value in row.values()))
    written = {name: table.to_pylist() for name, table in tables.items()}
    RESULTS.write_text(json.dumps({"people": options.people, "seed": options.seed, **written}, indent=1) + "\n")


def photo_tables(corpus: Path, truth: pa.Table) -> dict[str, pa.Table]:
    """The judgement of the photo rules by one limit of the face angle, and by the recipe's limits of yaw and pitch."""
    recipe = load_recipe("hq-voxceleb-automatic", ["faces.measure.frontal_pitch_deg=0"]).faces
    items = []
    for path in sorted((corpus / "photos").rglob("*.jpg")):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        who = {"identity": path.parent.name, "person": path.parent.name, "bucket": bucket_of(path.parent.name)}
        row = {"item_id": f"{path.parent.name}/{sha256}", "photo_sha256": sha256, **who}
        items.append(PhotoItem(row=row, data=path.read_bytes))
    once = list({item.row["item_id"]: item for item in items}.values())
    faces = measure.run(once, recipe.measure).rows.select(FACES.names)
    links = link.link(faces, recipe.link)
    tables = {}
    for angle in ANGLES_DEG:
        pose = recipe.pose.model_copy(update={"max_angle_deg": angle})
        settings = recipe.model_copy(update={"pose": pose})
        by_angle, by_recipe = (decide.decide(faces, links, each) for each in (settings, recipe))
        tables[f"photos at {angle:g} deg"] = judge_photos(truth, by_angle, max_angle_deg=angle)
        tables[f"photos by turn and nod, judged at {angle:g} deg"] = judge_photos(truth, by_recipe, max_angle_deg=angle)
    return tables


def clip_table(corpus: Path, truth: pa.Table) -> pa.Table:
    """The judgement of the clip rules."""
    recipe = load_recipe("hq-voxceleb-automatic")
    items, hashes = [], {}
    for path in sorted((corpus / "wav").rglob("*.wav")):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        identity, video = path.parts[-3], path.parts[-2]
        utterance = f"{identity}/{video}_{path.stem}"
        item = f"{utterance}@{sha256[:16]}"
        hashes[item] = sha256
        who = {"identity": identity, "person": identity, "bucket": bucket_of(identity)}
        row = {"item_id": item, "utterance_id": utterance, "audio_sha256": sha256, "video": video, "segment": path.stem}
        items.append(ClipItem(row={**row, **who, "path": str(path)}, data=path.read_bytes))
    clips = speech_measure.run(items, recipe.speech.measure).rows.select(UTTERANCES.names)
    return judge_clips(truth, speech_decide.decide(clips, recipe.speech.select), hashes)


if __name__ == "__main__":
    main()
