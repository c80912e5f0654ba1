"""Errors as people read them: problems, command lines that cannot be parsed, crashes."""
