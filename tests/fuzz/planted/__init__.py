"""Targets with a bug each, which both engines have to find: the proof that they see anything."""
