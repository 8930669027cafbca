"""taquba for threads."""
