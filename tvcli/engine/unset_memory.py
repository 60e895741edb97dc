"""Clears memory that an image encoder's graph takes for zeros.

tools/mtmd/models/pixtral.cpp makes room for the [IMG_BREAK] tokens of Pixtral and Mistral 3 with a tensor that nothing
sets, and multiplies it by zero "to clear" it. What was in memory before stays where it is no finite number, so that now
and then a token of an image is not a number.
"""

from __future__ import annotations

import numpy as np

from tvcli.engine.encoder_graph import EncoderGraph
from tvcli.engine.native import pinned


class UnsetMemoryCleared(EncoderGraph):
    """Sets to zero what is multiplied by zero, if it is neither computed nor read from the file."""

    def visit(self, node: int) -> bool:
        head = self.head(node)
        if self.operation(head.op) == pinned.SCALE and not any(head.op_params[:2]):  # the factor, and what is added
            self._clear(head.src[0])
        return False

    def _clear(self, tensor: int) -> None:
        head = self.head(tensor)
        leaf = self.operation(head.op) == pinned.NO_OPERATION
        if leaf and head.type == pinned.TYPE_F32 and pinned.UNNAMED in self.library.ggml_get_name(tensor):
            self.set(tensor, np.zeros(head.ne[:], np.float32))
