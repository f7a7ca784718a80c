"""sFlow version 5: the agent that takes samples, and what sends them."""
