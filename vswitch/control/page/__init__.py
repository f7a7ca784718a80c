"""The page for browsers: who may see it, its files in `site`, and what it hears by a WebSocket."""
