"""Taskiq on Redis streams."""
