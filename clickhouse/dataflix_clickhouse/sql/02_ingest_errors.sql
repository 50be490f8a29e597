-- Messages of the masked topics that could not become a row. A message that is delivered
-- twice is one row in the end: its place in Kafka is the key.
CREATE TABLE IF NOT EXISTS raw.ingest_errors
(
    topic LowCardinality(String),
    partition UInt32,
    offset UInt64,
    error String,
    message String,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (topic, partition, offset)
TTL toDateTime(at) + INTERVAL 30 DAY
