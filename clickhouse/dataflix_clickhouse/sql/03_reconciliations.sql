-- What each reconciliation found, a row for each run and table. It is written before the repair
-- and again after it, so that a repair that is killed has told what it found.
CREATE TABLE IF NOT EXISTS ops.reconciliations
(
    run_id String,
    table_name LowCardinality(String),
    fence UInt64 COMMENT 'version of repaired rows: a WAL position of the source',
    rows UInt64 COMMENT 'rows of the source that were compared',
    missing UInt64 COMMENT 'rows that the source has and the warehouse had not',
    different UInt64 COMMENT 'rows that were not what the source has',
    ghosts UInt64 COMMENT 'rows that the warehouse had and the source has not',
    in_flight UInt64 COMMENT 'differences that the stream removed by itself while we waited for it',
    ahead UInt64 COMMENT 'rows whose version no change of the source can have had yet',
    stream LowCardinality(String) COMMENT 'passed: it had delivered all; behind, down: it had not',
    done Bool COMMENT 'false: killed before the end, or still at work',
    started_at DateTime64(3, 'UTC'),
    seconds Float64,
    recorded_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(recorded_at)
ORDER BY (run_id, table_name)
