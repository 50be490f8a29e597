"""Read what training needs from ClickHouse, as Arrow, with the user that only reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from dataflix_clients import clickhouse
from dataflix_contract import Settings
from dataflix_contract.faults import Fault
from dataflix_contract.terminal import first_line
from dataflix_training.fitting import Film
from dataflix_training.ratings import Ratings, in_order

_RATINGS = """
SELECT user_id, movie_id, toFloat32(rating) AS stars, toUnixTimestamp64Micro(rated_at) AS rated_at, version
FROM analytics.ratings
ORDER BY user_id, rated_at, movie_id
"""
_FILMS = "SELECT movie_id, title, release_year, genres FROM analytics.movies"


def read_ratings(settings: Settings) -> Ratings:
    """All ratings of the mart.

    Raises:
        Fault: ClickHouse cannot be asked, or the mart is not there.
    """
    with _reader(settings) as client:
        table = client.query_arrow(_RATINGS)
    column = {name: table[name].to_numpy() for name in table.column_names}
    return in_order(
        column["user_id"].astype(np.int64),
        column["movie_id"].astype(np.int64),
        column["stars"].astype(np.float64),
        column["rated_at"].astype(np.int64),
        int(column["version"].max(initial=0)),
    )


def read_films(settings: Settings) -> dict[int, Film]:
    """Title, year and genres of every film, by id.

    Raises:
        Fault: ClickHouse cannot be asked, or the mart is not there.
    """
    with _reader(settings) as client:
        rows = client.query(_FILMS).result_rows
    return {int(movie_id): (str(title), year, tuple(genres)) for movie_id, title, year, genres in rows}


@contextmanager
def _reader(settings: Settings) -> Iterator[Client]:
    try:
        client = clickhouse.connect(settings, settings.clickhouse_reader)
        try:
            yield client
        finally:
            client.close()
    except ClickHouseError as error:
        if "UNKNOWN_TABLE" in str(error) or "UNKNOWN_DATABASE" in str(error):
            raise Fault("the marts are not there: let dbt build them (the DAG elt_pipeline does)") from error
        raise Fault(
            f"ClickHouse at {settings.clickhouse_address} cannot be read: {first_line(error)[:200]};"
            " is it running (dataflix-status)?"
        ) from error
