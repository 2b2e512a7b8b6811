"""Studies: grids of trainings that are declared in one file, run, resumed and reported."""
