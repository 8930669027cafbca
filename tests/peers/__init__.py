"""The driver that measures other queues beside taquba; no peer needs to be installed."""
