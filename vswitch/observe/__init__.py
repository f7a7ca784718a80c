"""What the host has, as seen from outside of any switch: read, and never changed."""
