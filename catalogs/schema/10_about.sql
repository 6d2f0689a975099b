-- What this file is, and the dataset versions that it knows.

CREATE TABLE about (
    schema_version INTEGER NOT NULL PRIMARY KEY,
    snapshot_id VARCHAR NOT NULL
);
COMMENT ON TABLE about IS 'One row: which schema this file has and which snapshot its tables hold';
COMMENT ON COLUMN about.schema_version IS 'Version of these tables; code that expects another one refuses the file';
COMMENT ON COLUMN about.snapshot_id IS 'Snapshot that faces, utterances, samples and the other tables belong to';

CREATE TABLE snapshots (
    snapshot_id VARCHAR NOT NULL PRIMARY KEY,
    name VARCHAR NOT NULL,
    current BOOLEAN NOT NULL,
    published_at VARCHAR,
    tags VARCHAR[] NOT NULL,
    identities BIGINT NOT NULL CHECK (identities >= 0),
    portraits BIGINT NOT NULL CHECK (portraits >= 0),
    utterances BIGINT NOT NULL CHECK (utterances >= 0),
    recipe_hash VARCHAR NOT NULL,
    recipe VARCHAR NOT NULL,
    code_version VARCHAR
);
COMMENT ON TABLE snapshots IS 'Every dataset version under this root';
COMMENT ON COLUMN snapshots.snapshot_id IS 'Hash of the shard list and the recipe';
COMMENT ON COLUMN snapshots.name IS 'Name in the recipe';
COMMENT ON COLUMN snapshots.current IS 'Whether the other tables hold this snapshot';
COMMENT ON COLUMN snapshots.published_at IS 'When it last became current, ISO 8601 in UTC; null if never';
COMMENT ON COLUMN snapshots.tags IS 'Names that people gave it before the catalog was built; voxdata tag lists those of now';
COMMENT ON COLUMN snapshots.identities IS 'People with portraits and utterances';
COMMENT ON COLUMN snapshots.portraits IS 'Face samples';
COMMENT ON COLUMN snapshots.utterances IS 'Speech samples';
COMMENT ON COLUMN snapshots.recipe_hash IS 'Hash of the recipe''s settings that can change a result';
COMMENT ON COLUMN snapshots.recipe IS 'Those settings, as JSON';
COMMENT ON COLUMN snapshots.code_version IS 'Version of the code that wrote it';

CREATE TABLE shards (
    snapshot_id VARCHAR NOT NULL,
    tar VARCHAR NOT NULL,
    sidecar VARCHAR NOT NULL,
    split VARCHAR NOT NULL CHECK (split IN ('train', 'val', 'test')),
    kind VARCHAR NOT NULL CHECK (kind IN ('faces', 'speech')),
    first_bucket INTEGER NOT NULL CHECK (first_bucket BETWEEN 0 AND 4095),
    last_bucket INTEGER NOT NULL CHECK (last_bucket BETWEEN first_bucket AND 4095),
    samples BIGINT NOT NULL CHECK (samples > 0),
    members BIGINT NOT NULL CHECK (members >= samples),
    size_bytes BIGINT NOT NULL CHECK (size_bytes > 0),
    sha256 VARCHAR NOT NULL,
    PRIMARY KEY (snapshot_id, tar)
);
COMMENT ON TABLE shards IS 'WebDataset tars, of every snapshot';
COMMENT ON COLUMN shards.snapshot_id IS 'Snapshot that lists it';
COMMENT ON COLUMN shards.tar IS 'Key of the tar under the root';
COMMENT ON COLUMN shards.sidecar IS 'Key of its Parquet sidecar, one row per member';
COMMENT ON COLUMN shards.split IS 'train, val or test';
COMMENT ON COLUMN shards.kind IS 'faces or speech';
COMMENT ON COLUMN shards.first_bucket IS 'First of the identity buckets that it covers';
COMMENT ON COLUMN shards.last_bucket IS 'Last of them';
COMMENT ON COLUMN shards.samples IS 'Samples in the tar';
COMMENT ON COLUMN shards.members IS 'Files in the tar';
COMMENT ON COLUMN shards.size_bytes IS 'Size of the tar';
COMMENT ON COLUMN shards.sha256 IS 'sha256 of the tar';

CREATE TABLE samples (
    kind VARCHAR NOT NULL CHECK (kind IN ('faces', 'speech')),
    key VARCHAR NOT NULL CHECK (NOT contains(key, '.')),
    split VARCHAR NOT NULL CHECK (split IN ('train', 'val', 'test')),
    identity VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    bucket INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 4095),
    tar VARCHAR NOT NULL,
    members STRUCT(suffix VARCHAR, byte_offset BIGINT, size_bytes BIGINT)[] NOT NULL,
    size_bytes BIGINT NOT NULL CHECK (size_bytes > 0)
);
COMMENT ON TABLE samples IS 'What the shards of the current snapshot hold: portraits and utterances';
COMMENT ON COLUMN samples.kind IS 'faces or speech';
COMMENT ON COLUMN samples.key IS 'WebDataset key: a face_id or an utterance_id';
COMMENT ON COLUMN samples.split IS 'train, val or test';
COMMENT ON COLUMN samples.identity IS 'VoxCeleb id or folder name';
COMMENT ON COLUMN samples.person IS 'Canonical person above the identity';
COMMENT ON COLUMN samples.bucket IS 'Hash bucket of the person';
COMMENT ON COLUMN samples.tar IS 'Shard that holds it';
COMMENT ON COLUMN samples.members IS 'Its files: suffix, place in the tar and size; their sha256 are in the sidecar';
COMMENT ON COLUMN samples.size_bytes IS 'Sum of its files';
