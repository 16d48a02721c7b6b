"""The parts of the conformance kit for stores, by what they look at."""
