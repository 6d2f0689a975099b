"""One evaluation: what all its protocols share, and the contestants that each of them judges.

Shapes: N people, M portraits, E embedding, S side. A contestant answers for every unseen person: with pictures, with
embeddings, or only with scores of every person against every person (chance, sex). "Real" is what it is held against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from models.data.store import Store
from models.evaluate.judge import Judge
from models.evaluate.metrics import FloatArray, IntArray, group_means, unit
from models.evaluate.references import Pictures, picture_embeddings
from models.evaluate.speakers import Speakers
from models.evaluate.voice_regression import VoiceRegression, fit_voice_regression, measure_voices
from voxdata.format.counting import Counting, silent

CENTRE_PEOPLE = 256


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A row of every table. `answer(draw, seconds)` gives embeddings (N, E) of one draw of voices.

    `draws` is False where every draw would give the same, `kind` is system, control or ceiling; `people` are those that
    it answers for; `pictures` gives the faces themselves, where there are any. `own(draw)` are the rows (N,) of the
    unseen people's portraits that it shows, and is then not held against; None where it shows none of them.
    `any_length` is False where what it shows does not depend on `seconds`.
    """

    name: str
    kind: str
    answer: Callable[[int, float | None], FloatArray]
    people: IntArray
    draws: bool = False
    pictures: Callable[[int, float | None], Tensor] | None = None
    own: Callable[[int], IntArray] | None = None
    any_length: bool = False


class Evaluation:
    """A run's judge, the people it was trained on and those it never saw, their portraits embedded once."""

    def __init__(
        self,
        judge: Judge,
        training: Store,
        unseen: Store,
        references: Mapping[str, Pictures],
        counting: Counting = silent,
        speakers: Sequence[Speakers] = (),
    ) -> None:
        self.judge = judge
        self.training = training
        self.unseen = unseen
        self.references = references
        self._counting = counting
        self.speakers = speakers
        self.count = len(unseen.people)
        self.people: IntArray = np.arange(self.count)
        self.owner: IntArray = np.repeat(self.people, unseen.face_groups.count)
        self._kept: dict[tuple[str, int], FloatArray] = {}

    @property
    def system(self) -> str:
        """The name of what is judged."""
        return str(self.judge.generator.run["system"])

    @cached_property
    def faces(self) -> FloatArray:
        """Unit embeddings of all portraits of the unseen people."""
        return self.judge.portraits(self.unseen)

    @cached_property
    def real(self) -> FloatArray:
        """Mean of each person's portraits, scaled to unit length again (SF2F, App. E.2)."""
        return group_means(self.faces, self.owner, self.count)

    @cached_property
    def means(self) -> FloatArray:
        """Mean of each person's portraits as it is (the released code of SF2F)."""
        sums = np.zeros_like(self.real)
        np.add.at(sums, self.owner, self.faces)
        means: FloatArray = sums / self.unseen.face_groups.count[:, None]
        return means

    @cached_property
    def training_faces(self) -> FloatArray:
        """Unit embeddings of all portraits of the training people."""
        return self.judge.portraits(self.training)

    @cached_property
    def training_owner(self) -> IntArray:
        """Whose portrait each of them is."""
        return np.repeat(np.arange(len(self.training.people)), self.training.face_groups.count)

    @cached_property
    def training_real(self) -> FloatArray:
        """Everybody's real embedding among the training people."""
        return group_means(self.training_faces, self.training_owner, len(self.training.people))

    @cached_property
    def centre_people(self) -> IntArray:
        """Training people whose generations centre the system's, evenly over all of them."""
        last = len(self.training.people) - 1
        return np.unique(np.linspace(0, last, CENTRE_PEOPLE).round().astype(np.int64))

    @cached_property
    def voices(self) -> FloatArray:
        """Simple measurements of the training people's voices."""
        return measure_voices(self.training)

    @cached_property
    def regression(self) -> VoiceRegression:
        """The control that needs no network, fitted on training people."""
        return fit_voice_regression(self.voices, self.training_real)

    @cached_property
    def regressed(self) -> FloatArray:
        """What it predicts for the unseen people."""
        return self.regression(measure_voices(self.unseen))

    @cached_property
    def by_speakers(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """The same control from each speaker encoder's vectors: by row, embeddings of training and unseen people."""
        found = {}
        for each in self.speakers:
            fitted = fit_voice_regression(each.training, self.training_real)
            found[each.row] = (fitted(each.training), fitted(each.unseen))
        return found

    @cached_property
    def mean_face(self) -> Tensor:
        """The mean training portrait."""
        return self.judge.mean_face(self.training)

    def judged(self, protocol: str, *, stretch: str | None = None) -> Iterator[Contestant]:
        """The contestants one by one, as many as are counted under the protocol's name; `stretch` as `contestants`."""
        found = self.contestants(stretch=stretch)
        with self._counting(f"evaluate {protocol}", len(found)) as advance:
            for each in found:
                yield each
                advance(1)

    def contestants(self, *, stretch: str | None = None) -> list[Contestant]:
        """The system with its fuser, on one window without it, then the controls, references and the ceiling.

        One window is one window, however many seconds a protocol asks for. Where `stretch` names these ("5 s", "in one
        piece"), the system is also there on one stretch of as many, which its encoder hears as a whole.
        """
        judge, people = self.judge, self.people
        system, window_s = judge.generator.run["system"], judge.generator.preset.window_s
        mean_face_NE = np.repeat(judge.embed(self.mean_face[None]), self.count, axis=0)

        def fused(draw: int, seconds: float | None) -> Tensor:
            return judge.fused(self.unseen, people, draw, seconds)

        def window(draw: int, seconds: float | None) -> Tensor:
            return judge.crops(self.unseen, people, draw)

        def piece(draw: int, seconds: float | None) -> Tensor:
            return judge.crops(self.unseen, people, draw, seconds)

        def shuffled(draw: int, seconds: float | None) -> FloatArray:
            # Every draw by another distance, never by none: nobody is judged by their own voice.
            return np.roll(heard.answer(draw, seconds), 1 + draw % max(1, self.count - 1), axis=0)

        heard = self._pictured(f"{system}, fused", fused)
        one_window = f"{window_s:g} s"
        found = [
            heard,
            self._pictured(f"{system}, {one_window}, no fuser", window, any_length=False),
            *([self._pictured(f"{system}, {stretch}, no fuser", piece)] if stretch not in (None, one_window) else []),
            self._fixed("mean face", "control", mean_face_NE),
            self._fixed("linear voice regression", "control", unit(self.regressed)),
            *(self._fixed(row, "control", unit(found)) for row, (_, found) in self.by_speakers.items()),
        ]
        if self.count > 1:
            found.append(
                Contestant(
                    name="shuffled voices",
                    kind="control",
                    answer=shuffled,
                    people=people,
                    draws=True,
                    any_length=True,
                )
            )
        found += [self._brought(name, pictures) for name, pictures in self.references.items()]
        return found + self._ceiling()

    def _pictured(
        self, name: str, pictures: Callable[[int, float | None], Tensor], *, any_length: bool = True
    ) -> Contestant:
        def answer(draw: int, seconds: float | None) -> FloatArray:
            if seconds is not None:
                return self.judge.embed(pictures(draw, seconds))
            if (name, draw) not in self._kept:  # several tables ask for the same draws
                self._kept[name, draw] = self.judge.embed(pictures(draw, None))
            return self._kept[name, draw]

        return Contestant(
            name=name,
            kind="system",
            answer=answer,
            people=self.people,
            draws=True,
            pictures=pictures,
            any_length=any_length,
        )

    def _fixed(self, name: str, kind: str, query_NE: FloatArray) -> Contestant:
        return Contestant(name=name, kind=kind, answer=lambda draw, seconds: query_NE, people=self.people)

    def _brought(self, name: str, pictures: Pictures) -> Contestant:
        side = self.judge.generator.preset.side_px
        return self._fixed(
            name, "ceiling", picture_embeddings(name, pictures, self.unseen.people, self.judge.embed, side)
        )

    def _ceiling(self) -> list[Contestant]:
        """One real portrait, which is then not among those it is held against."""
        groups = self.unseen.face_groups
        several: IntArray = np.flatnonzero(groups.count > 1)
        if not len(several):
            return []

        def chosen(draw: int) -> IntArray:
            rows: IntArray = groups.first[several] + draw % groups.count[several]
            return rows

        def answer(draw: int, seconds: float | None) -> FloatArray:
            return self.faces[chosen(draw)]

        def pictures(draw: int, seconds: float | None) -> Tensor:
            return self.unseen.images(chosen(draw))

        return [
            Contestant(
                name="real photo",
                kind="ceiling",
                answer=answer,
                people=several,
                draws=True,
                pictures=pictures,
                own=chosen,
            )
        ]

    def real_without(self, contestant: Contestant, draw: int) -> FloatArray:
        """Means (N', E), not scaled again, of what a contestant is held against: all portraits, or all but its own."""
        if contestant.own is None:
            return self.means[contestant.people]
        count_N = self.unseen.face_groups.count[contestant.people][:, None]
        own = self.faces[contestant.own(draw)]
        # The portrait that is shown would otherwise be a part of what it is held against.
        others: FloatArray = (self.means[contestant.people] * count_N - own) / (count_N - 1)
        return others


def portraits_of(store: Store, rows: Sequence[int]) -> Tensor:
    """Portraits (B, 3, S, S) of a store on the CPU."""
    images: Tensor = store.images(np.asarray(rows, np.int64)).cpu()
    return torch.as_tensor(images)
