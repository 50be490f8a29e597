# Stands in for clickhouse/clickhouse-server: the engine out of the chdb wheel behind /usr/bin/clickhouse, user 101.
FROM stand-in/python AS wheel
COPY --from=checkout requirements.lock /
RUN sed -n '/^chdb-core==/,/[^\\]$/p' /requirements.lock >/chdb.lock \
    && python3 -m venv /opt/chdb && /opt/chdb/bin/pip install -q --no-deps --require-hashes -r /chdb.lock
FROM stand-in/python
RUN apt-get update -q && apt-get install -qy --no-install-recommends wget && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid=101 clickhouse && useradd --uid=101 --gid=101 --home-dir=/var/lib/clickhouse clickhouse \
    && install --directory --owner=clickhouse --group=clickhouse /var/lib/clickhouse /var/log/clickhouse-server
COPY --from=wheel /opt/chdb /opt/chdb
COPY clickhouse /usr/bin/
VOLUME /var/lib/clickhouse
EXPOSE 8123 9000 9009
ENTRYPOINT ["/usr/bin/clickhouse", "server"]
