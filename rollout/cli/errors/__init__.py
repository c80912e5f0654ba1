"""Convert errors to text: problems, command lines that cannot be parsed, and crashes."""
