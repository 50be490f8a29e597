-- Rows may bring ids of their own (an import, a restore, a person), and the sequences that generated ids
-- come from do not notice. This brings the sequences past them, and never back.

-- Ids from 2^53 on are left alone: whoever chose one so large has an order of their own, a sequence that
-- followed it could run out of numbers, and programs that read JSON numbers as doubles (browsers) read
-- larger ids wrongly.
-- As its owner: who may add rows need not be able to set a sequence.
CREATE FUNCTION advance_identities() RETURNS void LANGUAGE sql VOLATILE
SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT setval('public.users_user_id_seq', taken.id)
    FROM public.users_user_id_seq AS s,
         (SELECT max(user_id) AS id FROM public.users WHERE user_id < 9007199254740992) AS taken
    WHERE taken.id > s.last_value OR (taken.id = s.last_value AND NOT s.is_called);

    SELECT setval('public.movies_movie_id_seq', taken.id)
    FROM public.movies_movie_id_seq AS s,
         (SELECT max(movie_id) AS id FROM public.movies WHERE movie_id < 9007199254740992) AS taken
    WHERE taken.id > s.last_value OR (taken.id = s.last_value AND NOT s.is_called);
$$;
COMMENT ON FUNCTION advance_identities() IS
    'Lets the next generated ids be above every id below 2^53 in the tables; never lowers them.';
REVOKE EXECUTE ON FUNCTION advance_identities() FROM PUBLIC;
