"""Evaluate no context, prompt and patch on tasks: a setup to answers, and answers to numbers."""
