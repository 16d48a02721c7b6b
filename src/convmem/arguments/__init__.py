"""What the direct API is handed, checked at the door."""
