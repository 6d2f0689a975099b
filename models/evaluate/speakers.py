"""What pretrained speaker encoders hear in everybody's voice, where a snapshot holds their vectors: a control's input.

A system below a ridge regression from these vectors has learnt less of a face than a frozen network that never saw one.
Shapes: P people, D values of a vector, T windows of a clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.data.store import Store
from models.evaluate.leakage import heard_before
from models.evaluate.metrics import FloatArray
from voxdata.format.reader import Reader


@dataclass(frozen=True, kw_only=True)
class Speakers:
    """Vectors of training and unseen people, (P, D) each, by the front end `name`; NaN where nobody was heard. `heard`
    says in words whom the encoder was trained on."""

    name: str
    training: FloatArray
    unseen: FloatArray
    heard: str

    @property
    def row(self) -> str:
        """The name of the control's row."""
        return f"voice regression, {self.name}"


def speakers(snapshot: Reader, training: Store, unseen: Store, split: str) -> list[Speakers]:
    """One for each speaker encoder among the snapshot's front ends; `unseen` are people of `split`."""
    found = []
    for name, about in sorted(snapshot.snapshot.front_ends.items()):
        heard = heard_before(about)
        if heard is not None:
            vectors = (person_vectors(snapshot, part, of, name) for part, of in ((training, "train"), (unseen, split)))
            train_PD, unseen_PD = vectors
            found.append(Speakers(name=name, training=train_PD, unseen=unseen_PD, heard=heard))
    return found


def person_vectors(snapshot: Reader, store: Store, split: str, front_end: str) -> FloatArray:
    """The mean vector (P, D) of the clips that a store holds of its people; each is the unit mean of its windows."""
    tars, held = snapshot.mel_tars(front_end), set(store.utterance_keys)
    people = {person: place for place, person in enumerate(store.people)}
    sums = np.zeros((len(people), int(snapshot.front_end(front_end)["n_mels"])))
    clips = np.zeros(len(people))
    for member in snapshot.mels(split, front_end):
        if member.key in held:
            mean_D = tars.whole(member).astype(np.float64).mean(axis=1)
            sums[people[member.person]] += mean_D / max(float(np.linalg.norm(mean_D)), 1e-12)
            clips[people[member.person]] += 1
    vectors: FloatArray = sums / np.where(clips > 0, clips, np.nan)[:, None]
    return vectors
