"""Dictionary transforms of the configs: windows, crops, neighbours, fields, partial labels."""
