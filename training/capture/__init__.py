"""Data and losses of the learned capture: what BlazePose sees of people whose pose is known."""
