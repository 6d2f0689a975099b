"""Keys of services from Prefect's secret blocks, put into the environment variables that a recipe's sources read.

A recipe names the variable (`key_env`, `client_secret_env`) and may name the block (`key_block`,
`client_secret_block`); neither holds a key. A variable that is set already counts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from voxdata.format.errors import SourceError
from voxdata.pipeline.corpora import photo_sources
from voxdata.recipe.reading import load_recipe


def put_keys(recipe: str, settings: Sequence[str]) -> None:
    """Set the variables whose blocks a recipe names. Raises `SourceError` for a block that is not there."""
    for _, setting, source in photo_sources(load_recipe(recipe, settings)):
        for key in ("key", "client_secret"):
            block, variable = getattr(source, f"{key}_block", None), getattr(source, f"{key}_env", None)
            if block and variable and not os.environ.get(variable):
                os.environ[variable] = _secret(block, f"{setting}.{key}_block={block}", f"{key}_env")


def _secret(block: str, setting: str, otherwise: str) -> str:
    import httpx
    from prefect.blocks.system import Secret

    try:
        value = Secret.load(block, _sync=True).get()  # type: ignore[union-attr, call-arg]
    except ValueError:
        raise SourceError(
            f"{setting}: Prefect has no secret block of that name; create one, or set the variable of {otherwise}"
        ) from None
    except (httpx.HTTPError, OSError, RuntimeError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(
            f"{setting}: Prefect's API does not answer ({said}); set the variable of {otherwise}"
        ) from None
    return str(value)
