"""Where convmem meets other tools; each module needs the extra that its first line names."""
