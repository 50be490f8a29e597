"""A MovieLens release of made-up ratings, in the form of the .csv ones."""

import csv
from pathlib import Path

from dataflix_training.ratings import Ratings

#: Titles as MovieLens 25m and 32m have them, and as people type them.
ODD_TITLES = (
    "D@bbe (2006)",
    "D@bbe: Curse of the Jinn (2013)",
    "Who@ever? (2002)",
    "me@example.org (1999)",
    'I "Heart" Huckabees, (2004)',
    '"Great Performances" Cats (1998)',
    "$5 a Day for $10_ \\frac (2008)",
    "Mr. & Mrs. O'Neill; DROP TABLE movies; -- (1941)",
    "Amélie (Fabuleux destin d'Amélie Poulain, Le) (2001)",
    "千と千尋の神隠し (2001)",
    "\U0001f984 The Unicorn \U0001f984 (2017)",
    "  Spaces   Around  (2010) ",
    "[REC]² {{ x }} %s (2009)",
    "{% raw %} (1990)",
    "\u202eright to left\u202c مرحبا (1985)",
    "??? (1970)",
    "8½ (8 1/2) (1963)",
)
_GENRES = ("Drama", "Comedy|Romance", "Horror", "(no genres listed)", "Sci-Fi|IMAX")


def write_release(folder: Path, ratings: Ratings, name: str = "Film") -> Path:
    """Write ``movies.csv`` and ``ratings.csv``: the odd titles first, then numbered ones.

    Args:
        folder: made here.
        ratings: of films with ids from 1.
        name: what the numbered films are called.
    """
    folder.mkdir()
    movie_ids = sorted(set(ratings.movie_ids.tolist()))
    with (folder / "movies.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("movieId", "title", "genres"))
        for place, movie_id in enumerate(movie_ids):
            title = (
                ODD_TITLES[place] if place < len(ODD_TITLES) else f"{name} {movie_id} ({1950 + place % 70})"
            )
            lines.writerow((movie_id, title, _GENRES[place % len(_GENRES)]))
    columns = (ratings.user_ids, ratings.movie_ids, ratings.stars, ratings.rated_at // 1_000_000)
    with (folder / "ratings.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("userId", "movieId", "rating", "timestamp"))
        lines.writerows(zip(*(column.tolist() for column in columns), strict=True))
    return folder
