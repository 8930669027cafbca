"""What taquba tells other systems: metrics and traces. Each module needs its extra."""
