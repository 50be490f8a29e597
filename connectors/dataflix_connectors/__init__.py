"""Create Kafka's topics, check the source database, and register and repair the Debezium connector."""
