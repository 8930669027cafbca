"""What a store does to an open queue: missing, denied, damaged, taken over, idle."""
