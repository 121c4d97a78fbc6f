"""Airflow's side of Fraudstream: operators and triggers that keep long-lived jobs running, and a health page."""
