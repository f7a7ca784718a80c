"""Guests and what they live in: namespaces, addresses, virtual machines, the demo; and a lab without being root."""
