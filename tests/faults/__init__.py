"""Faults that a process meets: other owners, full disks, clocks, blocked loops, hostile code."""
