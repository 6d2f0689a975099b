"""How `voxdata build`, `crawl run` and `redecide` start their pipeline: in this process, or as a Prefect flow.

It runs as a flow where it was asked to, where a Prefect API is configured, and where its recipe asks for Dask, which
comes with Prefect. Prefect is imported only then.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from flows.keys import put_keys
from voxdata.format.errors import BackendError
from voxdata.pipeline import build as building
from voxdata.pipeline import crawling
from voxdata.pipeline import redecide as redeciding
from voxdata.pipeline.progress import waiting
from voxdata.pipeline.redecide import Redecision
from voxdata.pipeline.runner import open_pool
from voxdata.recipe.sections import Work

if TYPE_CHECKING:
    import pyarrow as pa

API_VARIABLE = "PREFECT_API_URL"


def build(root: str, recipe: str, settings: Sequence[str], *, prefect: bool = False) -> str:
    """Build or update the dataset under `root`; the id of the published snapshot.

    `prefect` asks for a flow even where no API is configured. Raises one-line errors, for what can be known beforehand
    before anything is started.
    """
    put_keys(recipe, settings)
    order = building.open_build(root, recipe, settings)
    if not as_flow(order.recipe.work, prefect):
        with open_pool(order.recipe.work) as runner:
            return building.build(order, runner)
    with _running_flows():
        from flows.build import build_opened

        return build_opened(order, root, recipe, list(settings))


def crawl(
    root: str, recipe: str, settings: Sequence[str], *, below: int | None = None, prefect: bool = False
) -> pa.Table:
    """Collect photos and nothing else: people and photos by source; `prefect` and errors as in `build`."""
    put_keys(recipe, settings)
    order = crawling.open_crawl(root, recipe, settings)
    if not as_flow(order.recipe.work, prefect):
        with open_pool(order.recipe.work) as runner:
            return crawling.crawl(order, runner, below)
    with _running_flows():
        from flows.crawl import crawl_opened

        return crawl_opened(order, root, recipe, list(settings), below)


def redecide(
    root: str,
    settings: Sequence[str],
    *,
    dry_run: bool = False,
    unpublished: bool = False,
    prefect: bool = False,
) -> Redecision:
    """Decide again under `root`, or only say what would change; `prefect` and errors as in `build`.

    With `unpublished`, decide on what a build without a version has measured.
    """
    finished = redeciding.open_finished(root, settings, unpublished=unpublished)
    if not as_flow(finished.recipe.work, prefect):
        with open_pool(finished.recipe.work) as runner:
            return (redeciding.preview if dry_run else redeciding.redecide)(finished, runner)
    with _running_flows():
        from flows.redecide import redecide_opened

        return redecide_opened(finished, root, list(settings), dry_run)


def as_flow(work: Work, prefect: bool) -> bool:
    """Whether a pipeline runs as a Prefect flow."""
    return prefect or work.runner == "dask" or _api_is_configured()


def _running_flows() -> AbstractContextManager[str]:
    """Where flows may be called; Prefect itself takes seconds to load, and a temporary server to start."""
    _check_home()
    with waiting("loading Prefect"):
        from flows.prefect_api import running_flows
    return running_flows()


def _check_home() -> None:
    """Raises `BackendError` where Prefect, which writes to its home as soon as it is imported, cannot."""
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    try:
        home.mkdir(parents=True, exist_ok=True)
        why = "" if os.access(home, os.W_OK) else "permission denied"
    except OSError as error:
        why = str(error.strerror)
    if why:
        raise BackendError(
            f"Prefect keeps its database and settings in {home}, which cannot be written: {why}; "
            "say where else: export PREFECT_HOME=FOLDER, or build without --prefect"
        )


def _api_is_configured() -> bool:
    """Whether Prefect would talk to an API; it is asked itself only where one of its settings files may name one."""
    if API_VARIABLE in os.environ:
        return bool(os.environ[API_VARIABLE])
    if not any(_may_name_an_api(path) for path in _settings_files()):
        return False
    from prefect.settings import PREFECT_API_URL

    return PREFECT_API_URL.value() is not None


def _settings_files() -> list[Path]:
    """The files that Prefect reads settings from (its documentation, "Settings and profiles")."""
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml")).expanduser()
    return [profiles, *(Path(name) for name in (".env", "prefect.toml", "pyproject.toml"))]


def _may_name_an_api(path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8", errors="replace").lower()
    except OSError:
        return False
    return API_VARIABLE.lower() in text or ("api" in text and (path.name == "prefect.toml" or "[tool.prefect" in text))
