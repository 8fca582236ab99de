"""What is fuzzed: one file for each family of readers; see `tests.fuzz`."""
