"""dbt over HTTP: one run at a time, its results by model and test."""
