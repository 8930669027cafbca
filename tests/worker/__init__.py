"""The worker loop: jobs done as they come, and how the loop ends."""
