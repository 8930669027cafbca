"""What the admin API must not let through, case by case."""
