"""Synthetic people before synthetic cameras."""
