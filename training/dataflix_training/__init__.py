"""Trains, evaluates and registers the recommender."""
