"""The private heart: which target, what a fault means, when a target may be used, one loop."""
