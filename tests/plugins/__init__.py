"""Tests of the Airflow plugin and the Dags. They run in Airflow's environment, which has no pytest: hence unittest.

`tests/integration/test_airflow_plugin.py` runs them; by hand: see there.
"""
