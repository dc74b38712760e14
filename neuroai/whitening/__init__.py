"""Adaptive whitening: frames, gains, circuits, and the classical methods beside them."""
