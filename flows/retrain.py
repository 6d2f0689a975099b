"""The flow `retrain`: a challenger from the current snapshot, held against the champion on test pairs that stay fixed.

It ends as `Skipped` where the snapshot was trained on and decided about already, or too few of its training people are
new; else the challenger is promoted or refused, and a decision record says why.
"""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.artifacts import show_card
from flows.deciding import check_unseen, decide_about, freeze_gate, tested_snapshot
from flows.registry import run_folder
from flows.runs import Order, last_finished, local_storage, run_name
from flows.train import train
from models.errors import ConfigError
from models.evaluate.gate import Decision, make_gate
from voxdata.catalog import champions
from voxdata.catalog.newcomers import new_share
from voxdata.catalog.snapshot import load_snapshot
from voxdata.format.errors import SnapshotError
from voxdata.format.snapshot import Snapshot
from voxdata.pipeline.progress import logger, speak_up
from voxdata.store.storage import LocalStorage

WARM = "-warm"


@flow(name="retrain", persist_result=False, validate_parameters=True)
def retrain(
    root: str,
    system: str = "sf2f",
    preset: str = "tiny",
    embedder: str = "self-trained",
    weights: str | None = None,
    seed: int = 0,
    steps: int | None = None,
    seconds: float | None = None,
    overrides: dict[str, Any] | None = None,
    device: str = "auto",
    tracking: list[str] | None = None,
    min_new_people_share: float = 0.05,
    warm: bool = False,
    gate: dict[str, Any] | None = None,
) -> State[str]:
    """Train a challenger on the current snapshot under `root`, and promote it where it is better than the champion.

    `min_new_people_share` of the training people must be new since the last challenger of these settings; `warm` starts
    with the champion's weights, else from scratch. `gate` changes settings of `models.evaluate.gate.Gate`: the metric
    that decides and the guards' limits, fixed before the training.
    """
    speak_up()
    if not 0 <= min_new_people_share <= 1:
        raise ConfigError(f"min_new_people_share = {min_new_people_share}: must be from 0 to 1")
    fixed = make_gate(gate or {})
    storage = local_storage(root)
    snapshot = load_snapshot(storage)
    order = Order(root=root, system=system, preset=preset, embedder=embedder, seed=seed)
    name = run_name(order, snapshot.id) + (WARM if warm else "")
    why = _nothing_to_do(storage, order, snapshot, name, min_new_people_share)
    if why is not None:
        logger.info("skipped: %s", why)
        return Completed(name="Skipped", message=why)
    check_unseen(storage, system, tested_snapshot(storage, system, snapshot), snapshot)
    folder = storage.local(f"runs/{name}")
    freeze_gate(folder, fixed)
    if last_finished(storage, name) is None:
        champion = champions.champion(storage, system)
        train(
            root=root,
            system=system,
            preset=preset,
            snapshot=snapshot.id,
            embedder=embedder,
            weights=weights,
            seed=seed,
            steps=steps,
            seconds=seconds,
            overrides=overrides,
            run=str(folder),
            start=str(run_folder(storage, champion)) if warm and champion else None,
            device=device,
            tracking=tracking,
        )
    decision = judge_challenger(root, system, name)
    said = f"{name} is {decision.outcome}: {'; '.join(decision.reasons)}"
    return Completed(name="Promoted" if decision.promoted else "Refused", message=said)


@task(name="decide", cache_policy=NO_CACHE, persist_result=False)
def judge_challenger(root: str, system: str, challenger: str) -> Decision:
    """Compare with the champion, promote or refuse, write the decision record and both model cards."""
    decision = decide_about(root, system, challenger)
    logger.info("%s is %s: %s", challenger, decision.outcome, "; ".join(decision.reasons))
    show_card(run_folder(local_storage(root), challenger))
    return decision


def _nothing_to_do(storage: LocalStorage, order: Order, snapshot: Snapshot, name: str, min_share: float) -> str | None:
    """Why there is nothing to train; None where there is something."""
    decided = [fact["challenger"] for fact in champions.decisions(storage, order.system)]
    if name in decided:
        last = last_finished(storage, name) or {"at": "before"}
        return f"snapshot {snapshot.id} is unchanged since {name} was trained and judged ({last['at']})"
    before = _last_snapshot(storage, order, name, decided)
    if before is None or before.redacted:
        return None
    share = new_share(storage, before, snapshot)
    if share >= min_share:
        return None
    return (
        f"{share:.1%} of the training people of snapshot {snapshot.id} are new since {before.id}, fewer than "
        f"{min_share:.1%} (min_new_people_share)"
    )


def _last_snapshot(storage: LocalStorage, order: Order, name: str, decided: list[str]) -> Snapshot | None:
    """The snapshot of the last challenger of these settings; None where there was none, or its snapshot is gone."""
    for run in reversed(decided):
        row = last_finished(storage, run)
        if row is not None and run == run_name(order, row["snapshot_id"]) + (WARM if name.endswith(WARM) else ""):
            try:
                return load_snapshot(storage, row["snapshot_id"])
            except SnapshotError:
                return None
    return None
