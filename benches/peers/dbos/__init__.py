"""DBOS Transact, on a SQLite file and on PostgreSQL: one program, two rows."""
