"""Tests of what the virtual camera sees."""
