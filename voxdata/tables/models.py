"""Training runs, their models, how well these do, and who was promoted."""

from __future__ import annotations

from dataclasses import replace

from voxdata.tables.column import Column, D, L, S, Table
from voxdata.tables.people import AT, FACT, STATED_AT

_RUN_ID = Column("run_id", S, "Name of the run", required=True)
_MODEL = Column("model", S, "System: sf2f, voice2face, avp_gan, align, enhance, or that of another package")
_STAGE = Column("stage", S, "Last promotion of the run: champion, challenger, retired; null if never promoted")
_CHECKPOINT = Column("checkpoint", S, "Where the weights lie")  # key under the root
_SHA256 = Column("checkpoint_sha256", S, "sha256 of the weights, where it was stated")

# A state of a training run; the last one of a run counts.
RUNS = Table(
    "runs",
    "Training runs, in their last stated state",
    (
        _RUN_ID,
        _MODEL,
        Column("preset", S, "Preset of its settings"),
        Column("snapshot_id", S, "Snapshot that it was trained on"),
        Column("status", S, "started, finished, failed or cancelled"),
        Column("embedder", S, "Face embedder of the perceptual loss"),
        Column("settings", S, "All its settings, as JSON"),
        Column("code_version", S, "Version of the code"),
        Column("path", S, "Where its files lie"),  # key under the root
        replace(_CHECKPOINT, catalog=False),
        replace(_SHA256, catalog=False),
        Column("step", L, "Last training step"),
        AT,
    ),
    key=("run_id",),
)
RUNS_TABLE = replace(
    RUNS, columns=(*RUNS.without("at"), replace(STATED_AT, doc="When this state was stated, ISO 8601 in UTC"))
)

MODELS_TABLE = Table(
    "models",
    "The last weights of each run",
    (
        replace(_RUN_ID, doc="Run that trained them"),
        _MODEL,
        replace(_CHECKPOINT, required=True),
        _SHA256,
        _STAGE,
        replace(AT, name="staged_at", required=False),
    ),
    key=("run_id",),
)

EVALUATIONS = Table(
    "evaluations",
    "One row per metric of each evaluation",
    (
        replace(_RUN_ID, doc="Run that was evaluated"),
        replace(_SHA256, doc="Weights that were evaluated"),
        Column("snapshot_id", S, "Snapshot that it was evaluated on"),
        Column("split", S, "Split that it was evaluated on"),
        Column("embedder", S, "Face embedder of the metric"),
        Column("metrics", S, "Name to number, or to a group of them, JSON", catalog=False),
        AT,
    ),
)
EVALUATIONS_TABLE = replace(
    EVALUATIONS,
    columns=(
        FACT,
        Column("metric", S, "Name of the metric; group.name where the evaluation groups them", required=True),
        Column("value", D, "Its value"),
        *EVALUATIONS.without("at"),
        STATED_AT,
    ),
    key=("fact", "metric"),
)

# Whether a challenger took the champion's place (`voxdata/catalog/champions.py`).
DECISIONS = Table(
    "decisions",
    "What became of each challenger",
    (
        _MODEL,
        Column("champion", S, "Run that was champion before; null for the first"),
        Column("challenger", S, "Run that was judged"),
        Column("outcome", S, "promoted, refused, first or rolled_back"),
        Column("snapshot_id", S, "Snapshot whose people both were judged on"),
        Column("split", S, "Split of it; null by versions that chose on test people"),
        Column("record", S, "The gate, figures and guards, JSON"),
        AT,
    ),
)
# The last one of a run counts.
PROMOTIONS = Table(
    "promotions",
    "Champions, challengers and retired runs",
    (_MODEL, _RUN_ID, _STAGE, Column("reason", S, "Why"), AT),
)
