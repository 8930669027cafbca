"""The command `taquba`: what it shows, what it changes, and how it ends."""
