"""Dictionary transforms: HU windows, crops, 2.5D input, body and lung fields, partial labels."""
