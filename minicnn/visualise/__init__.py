"""Pictures of how a run went and of what a model gets wrong."""

from minicnn.visualise.figures import confusion_matrix, learning_curves, mistakes, worst_mistakes

__all__ = ["confusion_matrix", "learning_curves", "mistakes", "worst_mistakes"]
