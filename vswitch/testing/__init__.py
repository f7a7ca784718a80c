"""For tests of network software: the fixtures of the pytest plugin, and what they are made of.

Nothing is imported here: the plugin is loaded by every run of pytest in an environment that has this package.
"""
