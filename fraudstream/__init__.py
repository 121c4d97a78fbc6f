"""Core of Fraudstream: contracts, settings, simulator, storage and the local runtime.

Never imports airflow, pyspark, sklearn or superset (import-linter holds it to that), so that every runtime can use it.
"""
