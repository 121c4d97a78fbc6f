"""What is decided with a score: rules, lists and thresholds, their versions, and what they say of transactions.

The stream's workers import `engine` and `evaluation`; `conditions` needs sqlglot, `engine` and `backtest` need DuckDB.
"""
