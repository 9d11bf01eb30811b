"""Recorded motion: readers, retargeting, splits, statistics. All of it becomes ``training.datasets.motion.Motion``."""
