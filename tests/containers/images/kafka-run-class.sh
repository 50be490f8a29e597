#!/bin/bash
# Start a class with every jar beside this folder, as Kafka's script of this name does.
folder=$(cd "$(dirname "$0")/.." && pwd)
read -ra options <<<"${KAFKA_HEAP_OPTS:-} ${KAFKA_JVM_PERFORMANCE_OPTS:-} ${KAFKA_LOG4J_OPTS:-}"
exec java "${options[@]}" -cp "$folder/libs/*" "$@"
