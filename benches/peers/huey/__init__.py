"""huey on a SQLite file, synced at each commit."""
