"""MovieLens in all its formats: recognising a release, parsing its lines, loading them."""
