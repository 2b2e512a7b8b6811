"""The one look of every HTML page: the result of a CT, a study, an evaluation, several results."""
