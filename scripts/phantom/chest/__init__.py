"""Synthetic chest CTs with lung nodules, in the layout of LUNA16."""
