"""The schemas of requests and replies, with their limits; the OpenAPI document is made from them.

Each text in a request has a pattern that forbids control characters: PostgreSQL cannot store NUL, and a
terminal that shows the others would obey them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

# importing this module also has APIFlask validate strictly
from dataflix_backend.validation import CURSOR, EMAIL, TEXT, VISIBLE_TEXT
from dataflix_contract.schema import LEAST_ID, LEAST_STARS, MOST_ID, MOST_STARS

MOST_ITEMS = 100


def _whole(value: Any) -> Any:
    """Take 7.0 for the integer 7, since JSON does not distinguish them."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Whole = BeforeValidator(_whole)
#: The id of a user or a film.
Id = Annotated[int, Field(ge=LEAST_ID, le=MOST_ID), _Whole]
Limit = Annotated[int, Field(ge=1, le=MOST_ITEMS, description="The most items that one reply has.")]
Cursor = Annotated[
    str | None,
    Field(max_length=2000, pattern=CURSOR, description="`next` of the reply before this one."),
]
#: A genre's name, as `GET /genres` lists them.
Genre = Annotated[str, Field(max_length=100, pattern=TEXT)]
#: A time in UTC, to the microsecond, as PostgreSQL stores it.
Moment = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
Stars = Annotated[
    float,
    Field(
        ge=LEAST_STARS,
        le=MOST_STARS,
        multiple_of=0.5,
        description="Stars from 0.5 to 5, in half stars.",
        examples=[4.5],
    ),
]
_CityOrState = Annotated[str, Field(max_length=200, pattern=VISIBLE_TEXT)]
_UserId = Annotated[Id, Field(description="The user's id.", examples=[1])]
_MovieId = Annotated[Id, Field(description="The film's id.", examples=[1])]


def _with_everything(schema: dict[str, Any]) -> None:
    """Declare all fields of a reply as required: a reply always has them, also those with a default."""
    schema["required"] = list(schema["properties"])


class Body(BaseModel):
    """A request's body: exactly these fields, of exactly these types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class QueryString(BaseModel):
    """A request's query: no other parameters than these."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Reply(BaseModel):
    """A reply's body."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_with_everything)


class Page(QueryString):
    """Which part of a list."""

    limit: Limit = 20
    cursor: Cursor = None


class Refusal(Reply):
    """Why MLflow's champion is not served."""

    version: Annotated[int, Field(description="The champion that is not served.")]
    reason: Annotated[
        Literal["not_fetched", "unusable", "other_catalogue"],
        Field(
            description="`not_fetched`: its files could not be had. `unusable`: they are damaged, or it was"
            " not registered by a training. `other_catalogue`: it was trained with other films."
        ),
    ]
    why: Annotated[str, Field(description="The reason in words, and what to do.")]

    @property
    def text(self) -> str:
        """The whole in words, as `not_served` and the warnings have it."""
        return f"champion version {self.version}, not served: {self.why}"


class Health(Reply):
    """Requests can be served."""

    status: Literal["ok"]
    warnings: Annotated[list[str], Field(description="What is wrong although requests can be answered.")]
    model: Annotated[dict[str, Any] | None, Field(description="The model in service; null: popularity.")]
    not_served: Annotated[
        str, Field(description="`refusal` in words; empty: MLflow's champion is served, or there is none.")
    ]
    refusal: Annotated[
        Refusal | None,
        Field(description="Why MLflow's champion is not served; null: it is, or there is none."),
    ]


class Problem(Reply):
    """What went wrong and what to do about it (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Field(description="What to do next.")]
    errors: Annotated[
        dict[str, dict[str, list[str]]],
        Field(description="What is wrong, by part of the request and field; where a field is wrong."),
    ] = {}

    model_config = ConfigDict(json_schema_extra=None)


class NewUser(Body):
    """The fields of a user to create."""

    name: Annotated[str, Field(max_length=200, pattern=VISIBLE_TEXT, examples=["Ada Lovelace"])]
    email: Annotated[
        str,
        Field(
            max_length=254,
            pattern=EMAIL,
            description="Unique, without regard to case; `münchen.de` is `xn--mnchen-3ya.de`.",
            examples=["ada@example.org"],
        ),
    ]
    birth_year: Annotated[int, Field(ge=1900, le=2100, examples=[1985]), _Whole] | None = None
    city: Annotated[_CityOrState | None, Field(examples=["London"])] = None
    state: _CityOrState | None = None


class User(Reply):
    """A user, as they are known here: personal data."""

    user_id: Id
    name: str | None
    email: str | None
    birth_year: int | None
    city: str | None
    state: str | None
    created_at: Moment
    updated_at: Moment


class UserName(Reply):
    """Enough of a user to pick one."""

    user_id: Id
    name: str | None


class UserPage(Reply):
    """Some of the users, by id."""

    items: list[UserName]
    next: Annotated[str | None, Field(description="The cursor of the next page; null on the last one.")]


class UserSearch(Page):
    """Whom to list."""

    name: Annotated[
        str | None,
        Field(max_length=200, pattern=TEXT, description="Part of the user's name, in upper or lower case."),
    ] = None


class Movie(Reply):
    """A film."""

    movie_id: Id
    title: str
    release_year: int | None
    genres: list[str]
    overview: str | None
    rating_count: Annotated[int, Field(description="How many users have rated the film.", ge=0)]
    rating_mean: Annotated[
        float | None, Field(description="The mean of these ratings, in stars; null without ratings.")
    ]


class MoviePage(Reply):
    """Some of the films, in the order that was asked for."""

    items: list[Movie]
    next: Annotated[str | None, Field(description="The cursor of the next page; null on the last one.")]


class MovieSearch(Page):
    """Which films, in which order."""

    q: Annotated[
        str | None,
        Field(max_length=200, pattern=TEXT, description="Words of the title; typos are forgiven."),
    ] = None
    genre: Annotated[
        Genre | None,
        Field(description="A genre of the film, in upper or lower case; GET /genres lists all genres."),
    ] = None
    year_from: Annotated[
        int | None, Field(ge=0, le=9999, description="Films released in this year or later.")
    ] = None
    year_to: Annotated[
        int | None, Field(ge=0, le=9999, description="Films released in this year or earlier.")
    ] = None
    sort: Annotated[
        Literal["relevance", "title", "year", "rating", "popular"] | None,
        Field(
            description="By default relevance where there is a q, else title. Newest, best and most rated"
            " films first; relevance without a q is title."
        ),
    ] = None


class GenreCount(Reply):
    """A genre."""

    genre: str
    movies: Annotated[int, Field(description="How many films have this genre.")]


class Genres(Reply):
    """All genres, those with most films first."""

    items: list[GenreCount]


class Watching(Body):
    """Somebody has watched something."""

    user_id: _UserId
    movie_id: _MovieId


class Watched(Reply):
    """Who has watched what, since when."""

    user_id: Id
    movie_id: Id
    watched_at: Moment


class Dismissing(Body):
    """Somebody is not interested in something."""

    user_id: _UserId
    movie_id: _MovieId


class Dismissed(Reply):
    """Who is not interested in what, since when."""

    user_id: Id
    movie_id: Id
    dismissed_at: Moment


class NewRating(Body):
    """Somebody rates something."""

    user_id: _UserId
    movie_id: _MovieId
    rating: Stars


class Rating(Reply):
    """Who rated what."""

    user_id: Id
    movie_id: Id
    rating: float
    rated_at: Moment
    updated_at: Moment
    watched: Annotated[
        Literal["already", "now"],
        Field(description="Whether the film was marked as watched before this rating, or by it."),
    ]


class WatchedMovie(Reply):
    """A film on somebody's list of watched ones."""

    movie: Movie
    watched_at: Moment
    rating: Annotated[
        float | None,
        Field(description="The user's rating, in stars; null if the user has not rated the film."),
    ]


class WatchedPage(Reply):
    """What a user has watched, newest first."""

    items: list[WatchedMovie]
    next: Annotated[str | None, Field(description="The cursor of the next page; null on the last one.")]


class RatedMovie(Reply):
    """A film on somebody's list of rated ones."""

    movie: Movie
    rating: float
    rated_at: Moment
    updated_at: Moment


class RatedPage(Reply):
    """What a user has rated, the newest change first."""

    items: list[RatedMovie]
    next: Annotated[str | None, Field(description="The cursor of the next page; null on the last one.")]


class DismissedMovie(Reply):
    """A film on somebody's list of those that are of no interest."""

    movie: Movie
    dismissed_at: Moment


class DismissedPage(Reply):
    """What a user is not interested in, newest first."""

    items: list[DismissedMovie]
    next: Annotated[str | None, Field(description="The cursor of the next page; null on the last one.")]
