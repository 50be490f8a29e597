# Stands in for postgres:15-bookworm: user 999, data in /var/lib/postgresql/data, made by initdb at the first start.
FROM stand-in/debian
RUN groupadd --system --gid=999 postgres \
    && useradd --system --gid=postgres --uid=999 --home-dir=/var/lib/postgresql --shell=/bin/bash postgres \
    && install --directory --owner=postgres --group=postgres --mode=1777 /var/lib/postgresql/data \
    && mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf \
    && apt-get update -q && apt-get install -qy --no-install-recommends postgresql-15 \
    && rm -rf /var/lib/apt/lists/* && install --directory --owner=postgres --group=postgres --mode=3777 /var/run/postgresql
COPY postgres-start /usr/local/bin/
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin \
    PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["postgres-start"]
STOPSIGNAL SIGINT
EXPOSE 5432
CMD ["postgres"]
