"""The source database: migrations, sample data, MovieLens importer."""
