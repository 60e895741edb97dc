"""Checks of a model on this machine."""
