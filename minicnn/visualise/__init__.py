"""Pictures of nets, of how a run went and of what a model gets wrong."""

from minicnn.visualise.figures import confusion_matrix, learning_curves, mistakes, worst_mistakes
from minicnn.visualise.graph_drawing import Drawing, draw_graph

__all__ = [
    "Drawing",
    "confusion_matrix",
    "draw_graph",
    "learning_curves",
    "mistakes",
    "worst_mistakes",
]
