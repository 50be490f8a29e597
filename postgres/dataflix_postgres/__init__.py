"""Set up and fill the source database in PostgreSQL: migrations, sample data, and the import of MovieLens."""
