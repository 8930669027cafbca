"""The doctor: what it finds in stores that are well, and in stores that are not."""
