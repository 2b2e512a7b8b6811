"""Files: written whole or not at all, archives, tables, output folders, locks."""
