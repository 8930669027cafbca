"""Other queues and workflow runtimes beside taquba: same work, same machine, in turns."""
