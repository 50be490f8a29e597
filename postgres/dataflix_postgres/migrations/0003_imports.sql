-- How far an import of MovieLens has come: written in the transaction that loads the rows,
-- so that a killed import goes on where its last commit left it.

CREATE TABLE movielens_imports (
    file        text PRIMARY KEY,
    sha256      text NOT NULL,
    bytes_done  bigint NOT NULL DEFAULT 0,
    lines_done  bigint NOT NULL DEFAULT 0,
    loaded      bigint NOT NULL DEFAULT 0,
    rejected    jsonb NOT NULL DEFAULT '{}',
    finished_at timestamptz
);
COMMENT ON TABLE movielens_imports IS 'The MovieLens files that the tables hold, and how far each is loaded.';
COMMENT ON COLUMN movielens_imports.file IS 'The file''s name.';
COMMENT ON COLUMN movielens_imports.sha256 IS 'Digest of the whole file: tells whether it is still the same.';
COMMENT ON COLUMN movielens_imports.bytes_done IS 'Where the next batch starts.';
COMMENT ON COLUMN movielens_imports.lines_done IS 'Lines before that, the header included.';
COMMENT ON COLUMN movielens_imports.loaded IS 'Rows loaded so far.';
COMMENT ON COLUMN movielens_imports.rejected IS 'Lines refused so far, by reason.';
COMMENT ON COLUMN movielens_imports.finished_at IS 'When its last line was done; NULL: not yet.';
