# Stands in for quay.io/debezium/connect: Kafka Connect with Debezium; user 1001, the volumes that the image declares.
FROM stand-in/java
RUN apt-get update -q && apt-get install -qy --no-install-recommends curl && rm -rf /var/lib/apt/lists/* \
    && useradd --uid=1001 --home-dir=/kafka --no-create-home kafka \
    && install --directory --owner=kafka --group=kafka \
        /kafka /kafka/data /kafka/logs /kafka/config /kafka/connect
COPY --from=jars / /kafka/libs
COPY kafka-run-class.sh /kafka/bin/
VOLUME ["/kafka/data", "/kafka/logs", "/kafka/config"]
USER kafka
WORKDIR /kafka
EXPOSE 8083
