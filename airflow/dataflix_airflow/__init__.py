"""The daily batch: what Airflow's tasks do, and how Airflow is started."""
