"""What goes into a request, and how much of it; pure."""
