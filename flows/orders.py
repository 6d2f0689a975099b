"""What to train, as a person says it: `key=value` pairs of settings and of the preset's numbers, and what they come to.

The keys are the fields of `models.training.config.RunConfig`, and nothing here lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from models.errors import ConfigError
from models.training.config import RunConfig, run_settings, setting_of
from models.training.inputs import inputs_of, with_inputs
from models.training.settings import declared
from voxdata.format.errors import WeightsError, brief, quoted
from voxdata.recipe.yaml_text import read_yaml
from voxdata.weights import how_to_get, known_by_digest, registry, resolve, sha256_of

NOT_SAID = ("", "null", "none")
"""How a text says that it has no value, where it needs none."""


def ordered(pairs: Iterable[str] = (), **said: Any) -> dict[str, Any]:
    """Settings by name: `said`, without what is None, and `key=value` pairs on top. Raises `ConfigError`."""
    return run_settings({key: value for key, value in said.items() if value is not None} | settings_from_pairs(pairs))


def settings_from_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """What `key=value` pairs say: as it is written where the setting is a text, else YAML. Raises `ConfigError`."""
    found = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set {pair}: write key=value, for example --set batch_size=16")
        found[key] = _value(key, text)
    return found


def run_name(settings: Mapping[str, Any], snapshot: str) -> str:
    """What a run is called where its folder is not named: system, preset, what is unusual, embedder, snapshot, seed."""
    known, usual = declared(RunConfig), vars(inputs_of(settings, RunConfig))
    filled = with_inputs(settings, RunConfig)
    said = {name: filled.get(name, known[name].default) for name in known}
    unusual = [
        said[name] for name, each in known.items() if each.setting.names and said[name] != usual.get(name, each.default)
    ]
    return "-".join([said["system"], said["preset"], *unusual, said["embedder"], snapshot[:8], str(said["seed"])])


def from_here(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings whose paths are absolute; one file for `weights` is the embedder's, or its name in the registry.

    Raises `WeightsError` for a name or file of weights that is not there.
    """
    found = dict(settings)
    for name, each in declared(RunConfig).items():
        if each.setting.path and isinstance(found.get(name), str) and each.kind is str:
            found[name] = str(Path(found[name]).absolute())
    weights = found.get("weights", {})
    if isinstance(weights, str):
        weights = {with_inputs(found, RunConfig)["embedder"]: weights}
    declared(RunConfig)["weights"].check(weights)
    found["weights"] = {name: str(_fitting(name, file).absolute()) for name, file in weights.items()}
    return found


def _fitting(name: str, file: str) -> Path:
    """The file that is given for a pretrained network. Raises `WeightsError` where the registry has it for another."""
    found = resolve(file)
    wanted = registry().get(name)
    sha256 = sha256_of(found)
    known = known_by_digest(sha256)
    if wanted is not None and known is not None and not wanted.matches(sha256):
        raise WeightsError(f"weights.{name} = {file}: that file is {known.name}; for {name}, {how_to_get(wanted)}")
    return found


def checked(settings: Mapping[str, Any], name: str) -> Any:
    """The value of one setting, or its default. Raises `ConfigError`."""
    setting = declared(RunConfig)[name]
    value = settings.get(name, setting.default)
    setting.check(value)
    return value


def _value(key: str, text: str) -> Any:
    setting = setting_of(key)
    if setting is not None and setting.optional and text in NOT_SAID:
        return None
    entry_or_one = setting is not None and ("." in key or not text.startswith("{"))
    if setting is not None and setting.is_text and entry_or_one:
        return text
    try:
        value = read_yaml(text)
    except ValueError as error:
        said = brief(error, 120)
        raise ConfigError(f"--set {brief(key)}: {quoted(text)} is not a YAML value ({said}); quote it") from None
    if setting is not None and setting.kind is Sequence and isinstance(value, str):
        return [value]
    return _number(value)


def _number(value: Any) -> Any:
    """YAML takes 1e-3 for a text: it wants a point in a number."""
    if isinstance(value, list):
        return [_number(each) for each in value]
    if isinstance(value, dict):
        return {name: _number(each) for name, each in value.items()}
    if isinstance(value, str) and value[:1] in tuple("+-.0123456789"):
        with suppress(ValueError):
            return float(value)
    return value
