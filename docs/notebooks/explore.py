# %% [markdown]
# # A dataset, looked at
#
# `VOXDATA_ROOT` names the dataset; `make demo` leaves one of painted people in `demo/root`. A cell shows what its last
# line is.

# %%
import voxdata

data = voxdata.open()
data

# %% [markdown]
# ## How many, of whom
#
# A question is SQL ([questions](../questions.md) has twenty); its answer is a table for notebooks, `.df()` makes it one
# of pandas, `.pl()` one of polars, `.arrow()` one of pyarrow.

# %%
data.sql("FROM split_summary")

# %%
people = data.sql("SELECT person, split, sex, count(*) AS portraits FROM portraits GROUP BY ALL").df()
people.groupby(["split", "sex"])["portraits"].agg(["size", "sum"])

# %% [markdown]
# ## What became of every face

# %%
data.sql("FROM funnel")

# %% [markdown]
# What other limits on the angle would keep, without building anything:

# %%
data.sql("FROM what_if_faces(angle := 8)")

# %% [markdown]
# ## Portraits
#
# A row that names a portrait shows it. The sharpest and the most turned ones:

# %%
data.sql("SELECT key, person, face_angle_deg, sharpness FROM portraits ORDER BY sharpness DESC LIMIT 5")

# %%
data.sql("SELECT key, person, face_angle_deg FROM portraits ORDER BY face_angle_deg DESC LIMIT 5")

# %% [markdown]
# ## Pairs of a face and a voice
#
# What a training sees: a portrait (3, S, S), and a log-mel (F, T) of the same person.

# %%
front_end = next(iter(data.snapshot.front_ends))
data.pairs("train", front_end=front_end, side_px=64, seed=0)
