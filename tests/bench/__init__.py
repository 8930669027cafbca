"""`python -m taquba.bench`."""
