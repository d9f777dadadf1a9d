"""What the virtual camera sees: simulated cells, or pictures that were really taken."""
