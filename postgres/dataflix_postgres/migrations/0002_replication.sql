-- What Debezium reads: full old rows (otherwise unchanged TOAST values arrive as a placeholder),
-- a table whose updates keep the slot moving while the database is idle, and the publication.

ALTER TABLE users REPLICA IDENTITY FULL;
ALTER TABLE movies REPLICA IDENTITY FULL;
ALTER TABLE watched_movies REPLICA IDENTITY FULL;
ALTER TABLE ratings REPLICA IDENTITY FULL;

CREATE TABLE debezium_heartbeat (
    id      smallint PRIMARY KEY DEFAULT 1,
    beat_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT debezium_heartbeat_one_row CHECK (id = 1)
);
INSERT INTO debezium_heartbeat DEFAULT VALUES;
COMMENT ON TABLE debezium_heartbeat IS 'One row that Debezium updates, so that an idle database holds no WAL.';
COMMENT ON COLUMN debezium_heartbeat.id IS 'Always 1.';
COMMENT ON COLUMN debezium_heartbeat.beat_at IS 'The last heartbeat.';

CREATE PUBLICATION dataflix FOR TABLE users, movies, watched_movies, ratings, debezium_heartbeat;
COMMENT ON PUBLICATION dataflix IS 'What Debezium streams.';
