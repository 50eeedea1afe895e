"""circuit-kata: load a model, call a learner's function, judge it, say why."""

from kata.exercise import exercise

__all__ = ["exercise"]
__version__ = "0.1.0"
