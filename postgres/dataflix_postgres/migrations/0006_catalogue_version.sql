-- Who keeps the films in memory asks for this number, and reads the films again when it has changed.
-- A row and not a sequence: it becomes visible in the same moment as the change that it counts.

CREATE TABLE catalogue_version (
    id      smallint PRIMARY KEY DEFAULT 1,
    version bigint NOT NULL DEFAULT 0,
    CONSTRAINT catalogue_version_one_row CHECK (id = 1)
);
INSERT INTO catalogue_version DEFAULT VALUES;
COMMENT ON TABLE catalogue_version IS 'One row that changes with the films.';
COMMENT ON COLUMN catalogue_version.id IS 'Always 1.';
COMMENT ON COLUMN catalogue_version.version IS 'How many statements have changed films.';

-- As its owner: who may change films need not be able to change the number.
CREATE FUNCTION count_catalogue_change() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    UPDATE public.catalogue_version SET version = version + 1;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION count_catalogue_change() IS 'Counts a statement that changed films.';

CREATE TRIGGER movies_count_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON movies
    FOR EACH STATEMENT EXECUTE FUNCTION count_catalogue_change();
