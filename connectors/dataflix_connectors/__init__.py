"""Topics, the Debezium connector, and the preflight of its source."""
