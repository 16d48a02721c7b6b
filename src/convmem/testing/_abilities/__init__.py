"""The parts of the conformance kits for what a store can do beyond the journal."""
