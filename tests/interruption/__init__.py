"""Every awaitable call, cancelled at every turn of the loop: `python -m tests.interruption`."""
