"""The flow `retrain`: train again when the snapshot has changed since the last run that was finished and evaluated."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.progress import logger, speak_up
from flows.runs import Order, last_finished, local_storage, run_name
from flows.train import train
from voxdata.catalog.snapshot import load_snapshot


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
) -> State[str]:
    """Run `train` on the current snapshot under `root`, or end as `Skipped` where that was done already."""
    speak_up()
    storage = local_storage(root)
    snapshot = load_snapshot(storage).id
    order = Order(root=root, system=system, preset=preset, embedder=embedder, seed=seed)
    last = last_finished(storage, run_name(order, snapshot))
    if last is not None:
        message = f"snapshot {snapshot} is unchanged since {last['run_id']} was finished and evaluated ({last['at']})"
        logger.info("skipped: %s", message)
        return Completed(name="Skipped", message=message)
    folder = train(
        root=root,
        system=system,
        preset=preset,
        snapshot=snapshot,
        embedder=embedder,
        weights=weights,
        seed=seed,
        steps=steps,
        seconds=seconds,
        overrides=overrides,
        device=device,
    )
    return Completed(message=f"trained and evaluated on snapshot {snapshot}: {folder}")
