"""Settings of a simulated corpus."""

from __future__ import annotations

from dataclasses import dataclass, fields

from voxdata.format.errors import RecipeError

PHOTO_KINDS = (
    "wrong_person",
    "several_people",
    "exact_duplicate",
    "near_duplicate",
    "shared_duplicate",
    "truncated",
    "html",
    "tiny",
    "no_face",
    "large_pose",
    "smile",
    "uneven_light",
)
CLIP_KINDS = ("silent", "noise", "tone", "clipped", "broken")
PLAIN = "plain"
MAX_FAULTY_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """What a simulated corpus holds. Every share is of all photos or clips but each person's first, which is plain.

    Photos: `wrong_person` shows someone else; `several_people` adds a second person; `exact_duplicate` repeats an
    earlier photo's bytes, `near_duplicate` re-encodes it smaller, `shared_duplicate` is another person's photo, byte
    for byte; `truncated` is cut off; `html` an error page named .jpg; `tiny` is under 100 px; `no_face` is a
    background; `large_pose` is turned by 12 to 35 deg; `smile` shows teeth; `uneven_light` is lit hard from one side.
    Clips: `silent`, `noise`, `tone`, `clipped`, and `broken` (text, nothing, or half a file).
    """

    people: int = 24
    photos_per_person: int = 10
    clips_per_person: int = 6
    clip_s: float = 4.0
    photo_px: int = 512
    seed: int = 0
    link: float = 1.0
    wrong_person: float = 0.06
    several_people: float = 0.05
    exact_duplicate: float = 0.03
    near_duplicate: float = 0.04
    shared_duplicate: float = 0.01
    truncated: float = 0.02
    html: float = 0.02
    tiny: float = 0.03
    no_face: float = 0.02
    large_pose: float = 0.15
    smile: float = 0.08
    uneven_light: float = 0.07
    silent: float = 0.02
    noise: float = 0.02
    tone: float = 0.02
    clipped: float = 0.02
    broken: float = 0.03

    def __post_init__(self) -> None:
        """Raises `RecipeError` with the setting, its value and the limit."""
        for name, least in (("people", 1), ("photos_per_person", 0), ("clips_per_person", 0), ("photo_px", 128)):
            if getattr(self, name) < least:
                raise RecipeError(f"{name} is {getattr(self, name)}; must be at least {least}")
        if self.clip_s < 0.5:
            raise RecipeError(f"clip_s is {self.clip_s}; must be at least 0.5")
        if self.seed < 0:
            raise RecipeError(f"seed is {self.seed}; must not be negative")
        for name in ("link", *PHOTO_KINDS, *CLIP_KINDS):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise RecipeError(f"{name} is {getattr(self, name)}; must be between 0 and 1")
        for what, kinds in (("photo", PHOTO_KINDS), ("clip", CLIP_KINDS)):
            total = sum(getattr(self, kind) for kind in kinds)
            if total > MAX_FAULTY_SHARE:
                raise RecipeError(f"the {what} shares add up to {total:.2f}; at most {MAX_FAULTY_SHARE}")

    def shares(self, kinds: tuple[str, ...]) -> list[float]:
        """The shares of `kinds`, and last what remains for plain ones."""
        named = [float(getattr(self, kind)) for kind in kinds]
        return [*named, 1.0 - sum(named)]

    def as_dict(self) -> dict[str, int | float]:
        """All settings by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
