"""Guests and what they live in: namespaces, addresses, virtual machines, the demo; and a lab without being root.

For tests written in Python there is `capture`: what passes at ports while a test runs, and what is expected of it.
"""

from vswitch.lab.capture import Capturing, capture

__all__ = ["Capturing", "capture"]
