"""No context, prompt and patch on tasks: from a setup to answers, and from answers to numbers."""
