# %% [markdown]
# # Two models beside each other
#
# The last two runs of the dataset that `VOXDATA_ROOT` names which were evaluated: `voxdata train`, then
# `voxdata evaluate`. To choose between them, evaluate with `--split val` and read `val` for `test` below: whoever
# chooses on test people has no people left to report on.
# Generated faces are plausible ones: they show no real person and identify nobody.

# %%
from pathlib import Path

from PIL import Image

import voxdata

data = voxdata.open()
runs = data.sql(
    """SELECT run_id, model, preset, embedder, step, path FROM runs
    WHERE run_id IN (SELECT run_id FROM evaluations) ORDER BY stated_at DESC LIMIT 2"""
)
runs

# %% [markdown]
# ## Figures
#
# The same people for both, by the same embedder, or they say nothing of each other. A system is read between chance
# and what a real photo reaches; `voxdata evaluate RUN RUN` adds paired differences with intervals.

# %%
names = [row["run_id"] for row in runs.rows()]
assert len(names) == 2, f"two evaluated runs are compared, and here are {len(names)}; see: voxdata evaluate RUN"
first, second = names
figures = data.sql(
    f"""PIVOT (SELECT run_id, metric, value FROM evaluations WHERE run_id IN ('{first}', '{second}') AND split = 'test')
    ON run_id USING last(value) GROUP BY metric ORDER BY metric"""
)
figures

# %%
cosines = figures.df()
cosines[cosines["metric"].str.endswith(": cosine")].set_index("metric")

# %% [markdown]
# ## Faces
#
# Real portraits first, then faces from their voices: fused, from one window, from another person's voice, and the mean
# face.

# %%
sheets = [Image.open(Path(row["path"]) / "evaluation.png") for row in runs.rows()]
sheets[0]

# %%
sheets[1]
