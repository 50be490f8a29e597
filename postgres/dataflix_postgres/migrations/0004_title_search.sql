-- Titles are searched far more often than added: put them into the index at once. A list of
-- pending entries, GIN's default, makes searches slow after a bulk load until autovacuum comes.

ALTER INDEX movies_title_idx SET (fastupdate = off);
SELECT gin_clean_pending_list('movies_title_idx');
