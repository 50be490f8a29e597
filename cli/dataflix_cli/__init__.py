"""Dataflix in a terminal."""
