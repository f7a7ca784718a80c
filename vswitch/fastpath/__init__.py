"""The cache of verdicts that frames are forwarded by, in Python and in C."""
