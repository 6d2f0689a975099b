-- Training runs, their models and how well these do.

CREATE TABLE runs (
    run_id VARCHAR NOT NULL PRIMARY KEY,
    model VARCHAR,
    preset VARCHAR,
    snapshot_id VARCHAR,
    status VARCHAR,
    embedder VARCHAR,
    settings VARCHAR,
    code_version VARCHAR,
    path VARCHAR,
    step BIGINT,
    stated_at VARCHAR NOT NULL
);
COMMENT ON TABLE runs IS 'Training runs, in their last stated state';
COMMENT ON COLUMN runs.run_id IS 'Name of the run';
COMMENT ON COLUMN runs.model IS 'sf2f or voice2face';
COMMENT ON COLUMN runs.preset IS 'Preset of its settings';
COMMENT ON COLUMN runs.snapshot_id IS 'Snapshot that it was trained on';
COMMENT ON COLUMN runs.status IS 'started, finished, failed or cancelled';
COMMENT ON COLUMN runs.embedder IS 'Face embedder of the perceptual loss';
COMMENT ON COLUMN runs.settings IS 'All its settings, as JSON';
COMMENT ON COLUMN runs.code_version IS 'Version of the code';
COMMENT ON COLUMN runs.path IS 'Where its files lie';
COMMENT ON COLUMN runs.step IS 'Last training step';
COMMENT ON COLUMN runs.stated_at IS 'When this state was stated, ISO 8601 in UTC';

CREATE TABLE models (
    run_id VARCHAR NOT NULL PRIMARY KEY,
    model VARCHAR,
    checkpoint VARCHAR NOT NULL,
    checkpoint_sha256 VARCHAR,
    stage VARCHAR,
    staged_at VARCHAR
);
COMMENT ON TABLE models IS 'The last weights of each run';
COMMENT ON COLUMN models.run_id IS 'Run that trained them';
COMMENT ON COLUMN models.model IS 'sf2f or voice2face';
COMMENT ON COLUMN models.checkpoint IS 'Where the weights lie';
COMMENT ON COLUMN models.checkpoint_sha256 IS 'sha256 of the weights, where it was stated';
COMMENT ON COLUMN models.stage IS 'Last promotion of the run: champion, challenger, retired; null if never promoted';
COMMENT ON COLUMN models.staged_at IS 'When, ISO 8601 in UTC';

CREATE TABLE evaluations (
    fact VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    value DOUBLE,
    run_id VARCHAR NOT NULL,
    checkpoint_sha256 VARCHAR,
    snapshot_id VARCHAR,
    split VARCHAR,
    embedder VARCHAR,
    stated_at VARCHAR NOT NULL,
    PRIMARY KEY (fact, metric)
);
COMMENT ON TABLE evaluations IS 'One row per metric of each evaluation';
COMMENT ON COLUMN evaluations.fact IS 'Name of the journal file';
COMMENT ON COLUMN evaluations.metric IS 'Name of the metric; group.name where the evaluation groups them';
COMMENT ON COLUMN evaluations.value IS 'Its value';
COMMENT ON COLUMN evaluations.run_id IS 'Run that was evaluated';
COMMENT ON COLUMN evaluations.checkpoint_sha256 IS 'Weights that were evaluated';
COMMENT ON COLUMN evaluations.snapshot_id IS 'Snapshot that it was evaluated on';
COMMENT ON COLUMN evaluations.split IS 'Split that it was evaluated on';
COMMENT ON COLUMN evaluations.embedder IS 'Face embedder of the metric';
COMMENT ON COLUMN evaluations.stated_at IS 'When, ISO 8601 in UTC';
