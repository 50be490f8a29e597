"""Looks into Kafka, in the browser: topics, records, consumer groups. Changes nothing."""
