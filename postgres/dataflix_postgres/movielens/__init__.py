"""Import MovieLens in all its formats: recognise the release, parse its lines, and load its rows."""
