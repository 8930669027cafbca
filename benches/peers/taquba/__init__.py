"""taquba itself, through its public API: one process, a local disk, fsync."""
