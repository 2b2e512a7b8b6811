"""3D-IRCADb-01 on disk: archives, series, structures, audit, preparation."""
