"""Programs that check the running stack end to end, follow a row through it, and show its state."""
