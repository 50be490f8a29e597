-- A change travels as one message that carries the row before and after, and a message above the
-- contract's MAX_MESSAGE_BYTES stops the capture of every table. These bounds keep each row far below
-- it, and below what the masker takes (DATAFLIX_MASKER_MAX_BYTES).

ALTER TABLE users
    ADD CONSTRAINT users_name_bounded CHECK (octet_length(name) <= 32768),
    ADD CONSTRAINT users_email_bounded CHECK (octet_length(email) <= 32768),
    ADD CONSTRAINT users_city_bounded CHECK (octet_length(city) <= 1024),
    ADD CONSTRAINT users_state_bounded CHECK (octet_length(state) <= 1024);

ALTER TABLE movies
    ADD CONSTRAINT movies_title_bounded CHECK (octet_length(title) <= 8192),
    ADD CONSTRAINT movies_overview_bounded CHECK (octet_length(overview) <= 32768),
    ADD CONSTRAINT movies_genres_bounded CHECK (octet_length(array_to_string(genres, '')) <= 8192);
