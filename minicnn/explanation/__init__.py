"""What an op computes, why its gradient is right, how it is done, and how fast."""

from minicnn.explanation.explaining import Explanation, Kernel, Measurement, explain

__all__ = ["Explanation", "Kernel", "Measurement", "explain"]
