"""What calls cost: prices by host, model and date."""
