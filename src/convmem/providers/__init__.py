"""What is known of hosts and models: dialects, prices, limits and refusals, as TOML, and what reads them."""
