"""Checks the running stack end to end, and follows one row through it."""
