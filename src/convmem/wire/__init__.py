"""Wire bodies ⇄ turns, one module per API shape; pure, no I/O and no SDK."""
