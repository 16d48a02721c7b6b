"""What is asked of a Memory directly: one file a verb."""
