"""A folder of any CTs with label maps: its layouts, class names, cases."""
