"""What requests and replies are made of, and their limits; the OpenAPI document is made of these.

Each text has a pattern without control characters: PostgreSQL cannot hold NUL.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

import dataflix_backend.validation  # noqa: F401 - whoever has schemas wants them validated that way

MOST_ID = 2**63 - 1
MOST_ITEMS = 100
#: Text without control characters, and that with something to read in it.
TEXT = r"^[^\x00-\x1f\x7f]*$"
VISIBLE_TEXT = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"

Id = Annotated[int, Field(ge=1, le=MOST_ID)]
Limit = Annotated[int, Field(ge=1, le=MOST_ITEMS, description="Items in one reply.")]
Cursor = Annotated[
    str | None,
    Field(max_length=2000, pattern=r"^[A-Za-z0-9_-]+$", description="`next` of the reply before this one."),
]
#: A genre's name, as `GET /genres` lists them.
Genre = Annotated[str, Field(max_length=100, pattern=TEXT)]


class Body(BaseModel):
    """A request's body: exactly these fields, of exactly these types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class Query(BaseModel):
    """A request's query: no other parameters than these."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Reply(BaseModel):
    """A reply's body."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Movie(Reply):
    """A film."""

    movie_id: Id
    title: str
    release_year: int | None
    genres: list[str]
    overview: str | None
    rating_count: Annotated[int, Field(description="How many users have rated it.", ge=0)]
    rating_mean: Annotated[float | None, Field(description="Mean of their stars; null without any.")]
