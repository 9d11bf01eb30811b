"""What systems say of people in clips whose truth is known, measured side by side (``python -m training.evaluate``)."""
