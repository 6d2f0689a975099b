"""A person's own zero of pitch: the shift that their photos share, as far as there are photos to tell it from nods.

The mesh reads proportions as pitch: a short nose or high brows look like a raised or lowered chin, in every photo of
that person. The measured pitch, counted from the pitch of people who look into the camera, is taken as

    pitch of a photo = shift of the person + nod in that photo,   shift ~ (0, PERSON_SD_DEG²), nod ~ (0, PHOTO_SD_DEG²)

and the best linear guess of the shift from n photos is n / (n + PHOTO_SD_DEG² / PERSON_SD_DEG²) of what they share: an
empirical Bayes estimate (Efron and Morris 1975), drawn towards everybody's zero while there are few photos. Both
deviations are fitted on the people of the fitting half of `benchmarks/accuracy/nodding.py`.

What the photos share is their median: strangers and faces that turned out to be somebody else's are among them until
limits are held against faces, and as long as they are fewer than half they cannot carry it away; nor can a few photos
from a podium. Copies of a photo are one photo. One photo shares nothing: a shift and a nod cannot be told apart in it,
so its person has everybody's zero, as has whoever has none within `SEEN_YAW_DEG`.

Photos cannot tell proportions from a habit of holding the chin up, either. That is why a zero moves by no more than
`faces.link.max_own_zero_deg`, whatever a person's photos say.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

PERSON_SD_DEG = 4.6
PHOTO_SD_DEG = 6.9
SEEN_YAW_DEG = 20.0  # beyond, the mesh is asked once only, and its pitch is worth less
AT_LEAST = 2  # photos that can share something


def own_zeros(people: Codes, photos: Codes, pitch_deg: Numbers, preferred: list[Numbers], limit_deg: float) -> Numbers:
    """The zero of each face's person, degrees, (N,), within `limit_deg` of everybody's, which is 0.

    `people` and `photos` (N,) number whose face it is and which cluster of copies it is in; `pitch_deg` (N,) is NaN for
    faces that say nothing. Of several faces of one photo the one with the least `preferred` counts, [(N,), ...] in the
    order of their weight: it must tell all of them apart, so that the order of the rows decides nothing.
    """
    said = np.flatnonzero(np.isfinite(pitch_deg))
    keys = [each[said] for each in reversed(preferred)]
    said = said[np.lexsort((*keys, photos[said], people[said]))]
    of_one_photo = (np.diff(people[said]) == 0) & (np.diff(photos[said]) == 0)
    said = said[np.append(True, ~of_one_photo)] if len(said) else said
    said = said[np.lexsort((pitch_deg[said], people[said]))]
    known, first, count = np.unique(people[said], return_index=True, return_counts=True)
    ordered = pitch_deg[said]
    shared = (ordered[first + (count - 1) // 2] + ordered[first + count // 2]) / 2
    zeros = np.zeros(int(people.max(initial=-1)) + 1)
    zeros[known] = np.where(count >= AT_LEAST, shared * believed(count), 0.0)
    of_each: Numbers = np.clip(zeros, -limit_deg, limit_deg)[people]
    return of_each


def believed(photos: Numbers | Codes) -> Numbers:
    """Share of what so many photos (N,) share that is believed to be their person's."""
    share: Numbers = photos / (photos + (PHOTO_SD_DEG / PERSON_SD_DEG) ** 2)
    return share
