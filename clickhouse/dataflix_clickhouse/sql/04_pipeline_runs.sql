-- The outcome of each run of the daily batch, a row for each.
CREATE TABLE IF NOT EXISTS ops.pipeline_runs
(
    run_id String,
    state LowCardinality(String),
    started_at DateTime64(3, 'UTC'),
    finished_at DateTime64(3, 'UTC'),
    rows UInt64 COMMENT 'rows of the source that were compared',
    missing UInt64,
    different UInt64,
    ghosts UInt64,
    dbt_models UInt32,
    dbt_tests_passed UInt32,
    dbt_tests_failed UInt32,
    model_version UInt32,
    alias LowCardinality(String) COMMENT 'the alias that the new model version got',
    rmse Float64,
    ndcg_at_10 Float64,
    details String COMMENT 'everything, as JSON',
    recorded_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(recorded_at)
ORDER BY run_id
