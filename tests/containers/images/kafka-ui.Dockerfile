# Stands in for ghcr.io/kafbat/kafka-ui, as far as the health check goes: nothing of it is in a package registry.
FROM stand-in/python
RUN apt-get update -q && apt-get install -qy --no-install-recommends wget curl && rm -rf /var/lib/apt/lists/* \
    && useradd --uid=100 --system kafkaui
COPY kafka-ui /usr/local/bin/
USER kafkaui
CMD ["kafka-ui"]
EXPOSE 8080
