"""Runs every server of Dataflix on one machine without containers."""
