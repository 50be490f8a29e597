"""The films that a user has watched and rated: change them, and take the last change back."""

from __future__ import annotations

from dataclasses import dataclass

from dataflix_cli.client import Api, Document
from dataflix_cli.faults import NotFoundFault

#: More than anybody has watched; the API gives them by the hundred.
_ALL = 100_000


@dataclass(frozen=True, slots=True)
class Entry:
    """How a user stands to a film.

    Attributes:
        watched: whether it was watched.
        rating: its stars; None: not rated.
    """

    watched: bool = False
    rating: float | None = None


class UserFilms:
    """One user's films: written through the API, and remembered.

    Args:
        api: the API.
        user_id: whose it is; what was watched and rated until now is read at once.
    """

    def __init__(self, api: Api, user_id: int) -> None:
        self._api = api
        self._user_id = user_id
        watched, _ = api.items(f"/users/{user_id}/watched", _ALL)
        self._entries = {
            one["movie"]["movie_id"]: Entry(watched=True, rating=one["rating"]) for one in watched
        }
        self._changes: list[tuple[Document, Entry]] = []

    def of(self, movie: Document) -> Entry:
        """How the user stands to a film."""
        return self._entries.get(movie["movie_id"], Entry())

    def change(self, movie: Document, wanted: Entry) -> None:
        """Watch, rate, or take it back; remembers what was before."""
        before = self.of(movie)
        self._write(movie, wanted)
        self._changes.append((movie, before))

    def undo(self) -> tuple[Document, Entry] | None:
        """Take the last change of this session back.

        Returns:
            the film and how the user stands to it again; None: there is nothing to take back.
        """
        if not self._changes:
            return None
        movie, before = self._changes[-1]
        self._write(movie, before)
        self._changes.pop()
        return movie, before

    def _write(self, movie: Document, wanted: Entry) -> None:
        movie_id = movie["movie_id"]
        body = {"user_id": self._user_id, "movie_id": movie_id}
        if wanted.rating is not None:
            self._api.post("/ratings", {**body, "rating": wanted.rating})
        elif not wanted.watched:
            self._delete(f"/watched/{self._user_id}/{movie_id}")
        else:
            self._api.post("/watched", body)
            if self.of(movie).rating is not None:
                self._delete(f"/ratings/{self._user_id}/{movie_id}")
        self._entries[movie_id] = wanted

    def _delete(self, path: str) -> None:
        try:
            self._api.delete(path)
        except NotFoundFault:
            return  # somebody else, another window perhaps, has done it already
