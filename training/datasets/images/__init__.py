"""Readers of published data with pictures: every format gives the same ``Sample``."""
