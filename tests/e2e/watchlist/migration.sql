-- What people mean to watch, and whose advice that was.

CREATE TABLE watchlist (
    user_id        bigint NOT NULL REFERENCES users ON UPDATE CASCADE ON DELETE CASCADE,
    movie_id       bigint NOT NULL REFERENCES movies ON UPDATE CASCADE ON DELETE CASCADE,
    recommended_by text,
    added_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, movie_id),
    CONSTRAINT watchlist_recommended_by_bounded CHECK (octet_length(recommended_by) <= 32768),
    CONSTRAINT watchlist_added_at_in_range CHECK (added_at >= '1900-01-01Z' AND added_at < '2300-01-01Z')
);
CREATE INDEX watchlist_movie_id_idx ON watchlist (movie_id);

ALTER TABLE watchlist REPLICA IDENTITY FULL;
ALTER PUBLICATION dataflix ADD TABLE watchlist;
