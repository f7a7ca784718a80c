"""The parts of an impairment: what it is told to do, and how each frame's fate comes about."""
