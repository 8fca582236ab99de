"""Exercises prove themselves: stubs fail, wrong answers get their hint, solutions pass.

python -m tests.exercises                  # all lessons, each in a process of its own: counts
python -m tests.exercises convolution      # one of them
python -m tests.exercises --mutate         # faulty solutions that would be called right: minutes
"""
