-- What people are not interested in: it is not recommended to them again.

CREATE TABLE dismissed_movies (
    user_id      bigint NOT NULL REFERENCES users ON UPDATE CASCADE ON DELETE CASCADE,
    movie_id     bigint NOT NULL REFERENCES movies ON UPDATE CASCADE ON DELETE CASCADE,
    dismissed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, movie_id),
    CONSTRAINT dismissed_movies_dismissed_at_in_range
        CHECK (dismissed_at >= '1900-01-01Z' AND dismissed_at < '2300-01-01Z')
);
CREATE INDEX dismissed_movies_movie_id_idx ON dismissed_movies (movie_id);
COMMENT ON TABLE dismissed_movies IS 'Films that a user is not interested in.';
COMMENT ON COLUMN dismissed_movies.user_id IS 'Who is not interested.';
COMMENT ON COLUMN dismissed_movies.movie_id IS 'The film.';
COMMENT ON COLUMN dismissed_movies.dismissed_at IS 'When the user said so.';

ALTER TABLE dismissed_movies REPLICA IDENTITY FULL;
ALTER PUBLICATION dataflix ADD TABLE dismissed_movies;
