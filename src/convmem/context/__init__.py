"""What goes into a request: gathered, decided, cut when it is time, recalled for, assembled."""
