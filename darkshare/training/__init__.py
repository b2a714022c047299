"""Retraining from layer k on, as Darknet trains, in PyTorch; the layers before k stay as they are."""
