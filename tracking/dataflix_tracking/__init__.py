"""Start MLflow, the server of runs and models, with the stack's settings."""
