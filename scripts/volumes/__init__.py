"""A CT as an array with its affine in LPS millimetres: headers, readers, geometry."""
