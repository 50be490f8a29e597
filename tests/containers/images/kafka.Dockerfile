# Stands in for apache/kafka: the jars that the native way uses, with Java 17; user 1000, the volumes that the image declares.
FROM stand-in/java
RUN useradd --uid=1000 --home-dir=/home/appuser --create-home appuser \
    && install --directory --owner=appuser --group=appuser \
        /var/lib/kafka /var/lib/kafka/data /etc/kafka /etc/kafka/secrets /mnt/shared /mnt/shared/config
COPY --from=jars / /opt/kafka/libs
COPY --from=tools / /opt/kafka/libs
COPY kafka-run-class.sh /opt/kafka/bin/
VOLUME ["/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"]
USER appuser
EXPOSE 9092
