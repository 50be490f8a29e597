"""Starts MLflow with the stack's settings."""
