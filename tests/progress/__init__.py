"""Progress of batches of runs, and the tables that notebooks show."""
