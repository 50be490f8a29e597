"""Show Kafka's topics, records and consumer groups in the browser, without changing anything."""
