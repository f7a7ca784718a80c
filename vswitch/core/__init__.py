"""The switch itself: rules on bytes in memory, without I/O, clock, random numbers or event loop."""
