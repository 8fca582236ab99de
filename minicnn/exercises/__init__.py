"""Exercises of the lessons, and checks that name the mistake.

One module a lesson, called as the lesson is; each of its exercises is an `Exercise`::

    from minicnn.exercises import convolution as exercise

    def output_size(size, kernel, stride, padding):
        ...  # your code

    output_size = exercise.output_size.check(output_size)

`check` compares the answer with the solution on cases that it draws, says whether it is right or
what went wrong, and returns a function to go on with: the answer if it is right, else the
solution.
"""

from minicnn.exercises._exercise import Exercise, Verdict, exercise, predict

__all__ = ["Exercise", "Verdict", "exercise", "predict"]
