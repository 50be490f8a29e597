-- An import goes on by counting lines: in compressed and in UTF-16 files there is no place to jump to.

ALTER TABLE movielens_imports DROP COLUMN bytes_done;
