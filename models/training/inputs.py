"""What a preset is trained on: log-mels, their normalisation, a face embedder, how portraits were cut.

"With the paper's numbers" means the paper's input, too. The four are keys of run.json whose default leaves them to the
preset; who says otherwise finds it in the run's model card.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.errors import SnapshotReadError
from models.systems.registry import system_spec

if TYPE_CHECKING:
    from models.training.config import RunConfig
    from voxdata.format.snapshot import Snapshot

OF_PRESET = "preset"
"""A key's value that leaves it to the preset."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """The keys of run.json that are a preset's own; `crop` is the `faces.render.crop` of the recipe, or `any`."""

    front_end: str = "torch40"
    normalise: str = "stated"
    embedder: str = "self-trained"
    crop: str = "any"


def inputs_of(settings: Mapping[str, Any], usual: type[RunConfig]) -> Inputs:
    """Those of the preset that settings name. Raises `ConfigError` for a system that is none."""
    system, preset = (settings.get(key, getattr(usual, key)) for key in ("system", "preset"))
    return system_spec(system).inputs_of(preset)


def with_inputs(settings: Mapping[str, Any], usual: type[RunConfig]) -> dict[str, Any]:
    """Settings with those filled in that are left to the preset."""
    own = vars(inputs_of(settings, usual))
    return {**settings, **{key: own[key] for key in own if settings.get(key, OF_PRESET) == OF_PRESET}}


def unlike_preset(config: RunConfig) -> dict[str, str]:
    """What the preset would have been trained on, where a training says otherwise: the key and the preset's value."""
    own = vars(config.spec().inputs_of(config.preset))
    return {key: value for key, value in own.items() if value != getattr(config, key)}


def check_snapshot(config: RunConfig, snapshot: Snapshot, recipe: str | None = None) -> None:
    """Raises `SnapshotReadError` where a snapshot lacks what is trained on, with the command that builds it.

    `recipe` is what it was published with, a name or a file; without it the name that the snapshot has.
    """
    there, build = sorted(snapshot.front_ends), f"voxdata build {recipe or snapshot.name} --root {config.root} --set"
    if config.front_end not in there:
        raise SnapshotReadError(
            f"snapshot {snapshot.id} has no log-mels {config.front_end!r}, {_whose(config, 'front_end')}; it has "
            f"{', '.join(there)}: take one of them with --set front_end={there[0]}, or build again: "
            f"{build} 'speech.measure.front_ends=[{','.join([*there, config.front_end])}]'"
        )
    crop = _crop(snapshot)
    if config.crop not in ("any", crop):
        raise SnapshotReadError(
            f"snapshot {snapshot.id} has portraits of crop {crop!r}, not {config.crop!r}, {_whose(config, 'crop')}: "
            f"take them with --set crop=any, or build again: {build} faces.render.crop={config.crop}"
        )


def check_judged(config: RunConfig, snapshot: Snapshot) -> None:
    """Raises `SnapshotReadError` where another snapshot than the run's own lacks what the run was trained on."""
    if snapshot.id == config.snapshot:
        return
    there, build = sorted(snapshot.front_ends), f"voxdata build {snapshot.name} --root {config.root} --set"
    if config.front_end not in there:
        raise SnapshotReadError(
            f"run {config.run_dir} hears log-mels {config.front_end!r}, and snapshot {snapshot.id} has "
            f"{', '.join(there)}: build it with both: "
            f"{build} 'speech.measure.front_ends=[{','.join([*there, config.front_end])}]'"
        )
    crop = _crop(snapshot)
    if config.crop not in ("any", crop):
        raise SnapshotReadError(
            f"run {config.run_dir} was trained on portraits of crop {config.crop!r}, and snapshot {snapshot.id} has "
            f"those of crop {crop!r}: build it with the run's: {build} faces.render.crop={config.crop}"
        )


def _crop(snapshot: Snapshot) -> str:
    return str(snapshot.recipe.get("faces", {}).get("render", {}).get("crop", "aligned"))


def _whose(config: RunConfig, key: str) -> str:
    said = key in unlike_preset(config)
    return "which --set asks for" if said else f"which preset {config.preset} of {config.system} takes"
