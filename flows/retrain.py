"""The flow `retrain`: a challenger from the current snapshot, held against the champion on fixed validation pairs.

It ends as `Skipped` where the snapshot was trained on and decided about already, or too few of its training people are
new; else the challenger is promoted or refused, and a decision record says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.artifacts import show_card
from flows.deciding import check_enough, check_unseen, decide_about, freeze_gate, freeze_validation, frozen_snapshot
from flows.orders import ordered, run_name
from flows.pulling import local_root
from flows.registry import run_folder
from flows.runs import last_finished
from flows.train import train
from models.errors import ConfigError
from models.evaluate.gate import Decision, make_gate
from models.training.config import RunConfig
from voxdata.catalog import champions
from voxdata.catalog.newcomers import new_share
from voxdata.catalog.snapshot import load_snapshot
from voxdata.format.errors import SnapshotError
from voxdata.format.snapshot import Snapshot
from voxdata.pipeline.progress import logger, speak_up
from voxdata.store.storage import LocalStorage

WARM = "-warm"
OWN = {
    "root": "it is a parameter of its own",
    "snapshot": "a challenger is trained on the current one",
    "run_dir": "a challenger's folder is named after its settings and its snapshot",
}


@flow(name="retrain", flow_run_name="{system} {preset} on {root}", persist_result=False, validate_parameters=True)
def retrain(
    root: str,
    system: str = RunConfig.system,
    preset: str = RunConfig.preset,
    embedder: str = RunConfig.embedder,
    seed: int = RunConfig.seed,
    steps: int | None = None,
    seconds: float | None = None,
    device: str = RunConfig.device,
    settings: list[str] | None = None,
    min_new_people_share: float = 0.05,
    warm: bool = False,
    gate: dict[str, Any] | None = None,
) -> State[str]:
    """Train a challenger on the current snapshot under `root`, and promote it where it is better than the champion.

    `settings` go to `train` as they are. `min_new_people_share` of the training people must be new since the last
    challenger of these settings; `warm` starts with the champion's weights, else from scratch. `gate` changes settings
    of `models.evaluate.gate.Gate`: the metric that decides and the guards' limits, fixed before the training. Both are
    judged on validation people; test people are looked at once, by a challenger that was promoted.
    """
    speak_up()
    if not 0 <= min_new_people_share <= 1:
        raise ConfigError(f"min_new_people_share = {min_new_people_share}: must be from 0 to 1")
    fixed = make_gate(gate or {})
    said: dict[str, Any] = {"system": system, "preset": preset, "embedder": embedder, "seed": seed}
    said |= {"steps": steps, "seconds": seconds, "device": device}
    told = ordered(settings or (), **said)
    _check_free(told, warm=warm)
    storage = local_root(root)
    snapshot, model = load_snapshot(storage), told["system"]
    name = run_name(told, snapshot.id) + (WARM if warm else "")
    why = _nothing_to_do(storage, told, snapshot, name, min_new_people_share)
    if why is not None:
        logger.info("skipped: %s", why)
        return Completed(name="Skipped", message=why)
    frozen = frozen_snapshot(storage, model, snapshot)
    check_enough(storage, model, frozen, snapshot)
    check_unseen(storage, model, frozen, snapshot)
    freeze_validation(storage, model, frozen)
    folder = storage.local(f"runs/{name}")
    freeze_gate(folder, fixed)
    if last_finished(storage, name) is None:
        champion = champions.champion(storage, model)
        start = [f"start={run_folder(storage, champion)}"] if warm and champion else []
        train(root=root, snapshot=snapshot.id, run=str(folder), settings=[*(settings or ()), *start], **said)
    decision = judge_challenger(root, model, name)
    outcome = f"{name} is {decision.outcome}: {'; '.join(decision.reasons)}"
    return Completed(name="Promoted" if decision.promoted else "Refused", message=outcome)


def _check_free(told: Mapping[str, Any], *, warm: bool) -> None:
    """Raises `ConfigError` for settings that are this flow's own to make."""
    for key, why in OWN.items():
        if key in told:
            raise ConfigError(f"{key} = {told[key]!r}: {why}; leave it out")
    if warm and "start" in told:
        raise ConfigError(f"start = {told['start']!r}: warm starts with the champion's weights; leave one of them out")


@task(name="decide", cache_policy=NO_CACHE, persist_result=False)
def judge_challenger(root: str, system: str, challenger: str) -> Decision:
    """Compare with the champion, promote or refuse, write the decision record and both model cards."""
    decision = decide_about(root, system, challenger)
    logger.info("%s is %s: %s", challenger, decision.outcome, "; ".join(decision.reasons))
    show_card(run_folder(local_root(root), challenger))
    return decision


def _nothing_to_do(
    storage: LocalStorage, told: Mapping[str, Any], snapshot: Snapshot, name: str, min_share: float
) -> str | None:
    """Why there is nothing to train; None where there is something."""
    decided = [fact["challenger"] for fact in champions.decisions(storage, told["system"])]
    if name in decided:
        last = last_finished(storage, name) or {"at": "before"}
        return f"snapshot {snapshot.id} is unchanged since {name} was trained and judged ({last['at']})"
    before = _last_snapshot(storage, told, name, decided)
    if before is None or before.redacted:
        return None
    share = new_share(storage, before, snapshot)
    if share >= min_share:
        return None
    return (
        f"{share:.1%} of the training people of snapshot {snapshot.id} are new since {before.id}, fewer than "
        f"{min_share:.1%} (min_new_people_share)"
    )


def _last_snapshot(storage: LocalStorage, told: Mapping[str, Any], name: str, decided: list[str]) -> Snapshot | None:
    """The snapshot of the last challenger of these settings; None where there was none, or its snapshot is gone."""
    for run in reversed(decided):
        row = last_finished(storage, run)
        if row is not None and run == run_name(told, row["snapshot_id"]) + (WARM if name.endswith(WARM) else ""):
            try:
                return load_snapshot(storage, row["snapshot_id"])
            except SnapshotError:
                return None
    return None
