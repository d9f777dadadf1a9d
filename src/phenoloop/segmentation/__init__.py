"""Segmenters: an image becomes labels. Loaded by `phenoloop.plugins`, one module per method."""
