-- Where the files of the build were found.

CREATE TABLE sources (
    source VARCHAR NOT NULL,
    medium VARCHAR NOT NULL CHECK (medium IN ('photos', 'speech')),
    kind VARCHAR,
    address VARCHAR NOT NULL,
    host VARCHAR,
    PRIMARY KEY (source, medium)
);
COMMENT ON TABLE sources IS 'Folders and sites of the published recipe; empty where none was stated';
COMMENT ON COLUMN sources.source IS 'Name of the corpus in photos and utterances';
COMMENT ON COLUMN sources.medium IS 'photos or speech';
COMMENT ON COLUMN sources.kind IS 'Kind of source: folder or site';
COMMENT ON COLUMN sources.address IS 'Folder or site; a source_key continues it to the path or URL of one file';
COMMENT ON COLUMN sources.host IS 'Host of a site; null for a folder';
