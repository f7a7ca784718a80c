"""vswitch: a userspace Ethernet switch for Linux that explains every frame."""

__version__ = "0.1.0"
