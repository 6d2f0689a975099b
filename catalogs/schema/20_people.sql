-- Who is who.

CREATE TABLE identities (
    identity VARCHAR NOT NULL PRIMARY KEY,
    person VARCHAR NOT NULL,
    bucket INTEGER NOT NULL CHECK (bucket BETWEEN 0 AND 4095),
    name VARCHAR,
    sex VARCHAR CHECK (sex IN ('m', 'f', 'unknown')),
    nationality VARCHAR,
    published_set VARCHAR,
    metadata_row BIGINT CHECK (metadata_row >= 0),
    split VARCHAR CHECK (split IN ('train', 'val', 'test'))
);
COMMENT ON TABLE identities IS 'Everyone whom the sources or the metadata of the build name';
COMMENT ON COLUMN identities.identity IS 'VoxCeleb id or folder name';
COMMENT ON COLUMN identities.person IS 'Canonical person above the identity; buckets and splits go by it';
COMMENT ON COLUMN identities.bucket IS 'sha256(person) mod 4096';
COMMENT ON COLUMN identities.name IS 'Name in the metadata';
COMMENT ON COLUMN identities.sex IS 'm, f or unknown, as the metadata says';
COMMENT ON COLUMN identities.nationality IS 'As the metadata says; VoxCeleb2 has none: unknown';
COMMENT ON COLUMN identities.published_set IS 'dev or test, as the metadata says';
COMMENT ON COLUMN identities.metadata_row IS 'Line in its metadata table, from 0; the paper''s split goes by it';
COMMENT ON COLUMN identities.split IS 'Split of the person; null for people without portraits and utterances';

CREATE TABLE aliases (
    identity VARCHAR NOT NULL PRIMARY KEY,
    person VARCHAR NOT NULL,
    evidence VARCHAR,
    origin VARCHAR NOT NULL CHECK (origin IN ('shipped', 'journal'))
);
COMMENT ON TABLE aliases IS 'Identities that are the same person as another one';
COMMENT ON COLUMN aliases.identity IS 'VoxCeleb id or folder name';
COMMENT ON COLUMN aliases.person IS 'Canonical person';
COMMENT ON COLUMN aliases.evidence IS 'Why they are one';
COMMENT ON COLUMN aliases.origin IS 'shipped with the code, or stated in this root''s journal';

CREATE TABLE optouts (
    fact VARCHAR NOT NULL PRIMARY KEY,
    person VARCHAR NOT NULL,
    reason VARCHAR,
    decision VARCHAR CHECK (decision IN ('opted_out', 'withdrawn')),
    stated_at VARCHAR NOT NULL
);
COMMENT ON TABLE optouts IS 'People who asked not to be used';
COMMENT ON COLUMN optouts.fact IS 'Name of the journal file';
COMMENT ON COLUMN optouts.person IS 'Canonical person or identity';
COMMENT ON COLUMN optouts.reason IS 'Why';
COMMENT ON COLUMN optouts.decision IS 'opted_out, or withdrawn: taken back; null means opted_out; the last word counts';
COMMENT ON COLUMN optouts.stated_at IS 'When, ISO 8601 in UTC';

CREATE TABLE tombstones (
    person VARCHAR NOT NULL PRIMARY KEY,
    reason VARCHAR,
    stated_at VARCHAR NOT NULL
);
COMMENT ON TABLE tombstones IS 'Forgotten people, who must not come back';
COMMENT ON COLUMN tombstones.person IS 'Keyed hash of the canonical person, who is not named anywhere';
COMMENT ON COLUMN tombstones.reason IS 'Why';
COMMENT ON COLUMN tombstones.stated_at IS 'When, ISO 8601 in UTC';
