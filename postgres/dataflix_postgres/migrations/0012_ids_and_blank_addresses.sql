-- Generated ids stay below 2^53, the largest number up to which programs that read JSON numbers as doubles
-- (browsers) read every id rightly. So the sequences do not follow ids from 2^52 on: above those that they
-- do follow there is room for more ids than anybody generates. With 2^53 as the bound, one row with the id
-- 2^53 - 1 made all later ids unreadable.
CREATE OR REPLACE FUNCTION advance_identities() RETURNS void LANGUAGE sql VOLATILE
SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT setval('public.users_user_id_seq', taken.id)
    FROM public.users_user_id_seq AS s,
         (SELECT max(user_id) AS id FROM public.users WHERE user_id < 4503599627370496) AS taken
    WHERE taken.id > s.last_value OR (taken.id = s.last_value AND NOT s.is_called);

    SELECT setval('public.movies_movie_id_seq', taken.id)
    FROM public.movies_movie_id_seq AS s,
         (SELECT max(movie_id) AS id FROM public.movies WHERE movie_id < 4503599627370496) AS taken
    WHERE taken.id > s.last_value OR (taken.id = s.last_value AND NOT s.is_called);
$$;
COMMENT ON FUNCTION advance_identities() IS
    'Lets the next generated ids be above every id below 2^52 in the tables; never lowers them.';

-- An address of which nothing is left in its normal form is none: any number of users may have none. The masker has
-- the same rule, and makes NULL of it.
DROP INDEX users_email_key;
CREATE UNIQUE INDEX users_email_key ON users ((md5(nullif(email_identity(email), ''))::uuid));
COMMENT ON COLUMN users.email IS
    'Address, unique in its normal form (email_identity) unless that is empty; personal data.';
