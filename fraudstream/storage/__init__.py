"""PostgreSQL: the schema `fraud` (tables, migrations), roles and connections."""
