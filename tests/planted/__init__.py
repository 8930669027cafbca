"""Planted bugs: proof that the simulator finds what it is there to find."""
