"""Enqueue, claim, settle: jobs of named queues."""  # noqa: A005 - a folder of tests
