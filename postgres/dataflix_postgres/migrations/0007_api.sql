-- What the API needs of the database: requests that were done already, and indexes for its searches.

-- Not published, and free of personal data: the digest of a request is keyed with the client's own
-- Idempotency-Key, of which only a digest is here too, and of a reply only what the client did not send.
CREATE TABLE idempotency_keys (
    key_digest     bytea PRIMARY KEY,
    request_digest bytea NOT NULL,
    status         smallint,
    reply          jsonb,
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at);
COMMENT ON TABLE idempotency_keys IS 'POSTs with an Idempotency-Key of the last 24 hours: each is done once.';
COMMENT ON COLUMN idempotency_keys.key_digest IS 'SHA-256 of the key.';
COMMENT ON COLUMN idempotency_keys.request_digest IS 'HMAC-SHA-256 of the request under the key.';
COMMENT ON COLUMN idempotency_keys.status IS 'The reply''s status; NULL while its transaction is open.';
COMMENT ON COLUMN idempotency_keys.reply IS 'Ids and moments of the reply.';
COMMENT ON COLUMN idempotency_keys.created_at IS 'When the request came.';

-- The order of lists by title. Of 200 characters: a B-tree refuses keys above 2.7 kB.
CREATE INDEX movies_title_order_idx ON movies (lower(left(title, 200)), movie_id);

-- Parts of a name.
CREATE INDEX users_name_idx ON users USING gin (name gin_trgm_ops);

-- A film's count and mean, from the index alone.
CREATE INDEX ratings_movie_id_rating_idx ON ratings (movie_id) INCLUDE (rating);
DROP INDEX ratings_movie_id_idx;
