"""PgQueuer on PostgreSQL."""
