"""What is known of hosts and models: tables by host, model and date, and what reads them."""
