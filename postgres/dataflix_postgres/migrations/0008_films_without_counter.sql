-- Whoever keeps the films in memory compares their contents now. The counter was one row that every
-- change of films locked until its transaction ended, so that changes of different films waited for one
-- another and could deadlock; and its trigger counts nothing where triggers do not fire: under
-- session_replication_role = replica, in a subscriber, after ALTER TABLE ... DISABLE TRIGGER.

DROP TRIGGER movies_count_change ON movies;
DROP FUNCTION count_catalogue_change();
DROP TABLE catalogue_version;
