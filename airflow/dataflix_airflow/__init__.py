"""The daily batch: the functions that Airflow's tasks call, and the program that starts Airflow."""
