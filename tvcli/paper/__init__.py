"""The paper's tables and figures, for any model."""
