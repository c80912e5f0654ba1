"""Text and plain data of results. Pure: values in, text out."""
