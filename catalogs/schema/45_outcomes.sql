-- What became of everything, counted once for all who ask.

CREATE TABLE outcomes (
    kind VARCHAR NOT NULL CHECK (kind IN ('faces', 'speech')),
    identity VARCHAR NOT NULL,
    person VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL CHECK (verdict IN ('keep', 'reject')),
    outcome VARCHAR NOT NULL,
    items BIGINT NOT NULL CHECK (items > 0),
    first_hashes VARCHAR[] NOT NULL,
    PRIMARY KEY (kind, identity, source, verdict, outcome)
);
COMMENT ON TABLE outcomes IS 'Faces and clips of each identity per source and outcome, counted when the catalog was built';
COMMENT ON COLUMN outcomes.kind IS 'faces or speech';
COMMENT ON COLUMN outcomes.identity IS 'VoxCeleb id or folder name';
COMMENT ON COLUMN outcomes.person IS 'Canonical person above the identity';
COMMENT ON COLUMN outcomes.source IS 'Name of the corpus; unknown where none is stated';
COMMENT ON COLUMN outcomes.verdict IS 'keep or reject';
COMMENT ON COLUMN outcomes.outcome IS 'kept (for faces: a portrait, or no rule failed), or the first rule that it failed';
COMMENT ON COLUMN outcomes.items IS 'Faces or clips';
COMMENT ON COLUMN outcomes.first_hashes IS 'First 8 digits of the three smallest photo_sha256; empty for speech';
