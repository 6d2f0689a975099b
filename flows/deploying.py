"""Where `prefect.yaml` is, and its pull step: where the checkout lies is for the worker to say, not for who deploys."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

from voxdata.format.errors import SourceError

HOME_VARIABLE = "VOXDATA_HOME"


def deployments() -> Path:
    """`prefect.yaml`, of the checkout or, where a wheel is installed, among the data of its environment."""
    in_checkout = Path(__file__).resolve().parent.parent / "prefect.yaml"
    return in_checkout if in_checkout.is_file() else Path(sysconfig.get_path("data")) / "share/voxdata/prefect.yaml"


def checkout() -> dict[str, str]:
    """`folder`: the working directory of flow runs on this machine, which relative paths in parameters start from.

    It is `VOXDATA_HOME` where the worker has that variable, else the checkout that the worker's installation of this
    package points to. Raises `SourceError` where there is neither.
    """
    named = os.environ.get(HOME_VARIABLE)
    folder = Path(named) if named else Path(__file__).resolve().parent.parent
    if not folder.is_absolute() or not folder.is_dir():
        raise SourceError(f"{HOME_VARIABLE}={named}: no such absolute folder on this worker; correct it or unset it")
    if not named and not (folder / "prefect.yaml").is_file():
        raise SourceError(
            f"voxdata is installed in {folder}, which is no checkout; start the worker with {HOME_VARIABLE}=FOLDER, "
            "the folder that relative paths start from"
        )
    return {"folder": str(folder)}
