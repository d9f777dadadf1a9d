"""Statistics, focus, spots and image arithmetic: pure functions of arrays, without I/O, clock or state."""
