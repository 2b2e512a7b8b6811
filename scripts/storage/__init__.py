"""Files written whole, archives, output folders, worker processes, checks of options."""
