"""Hold what the product is about, with the standard library only."""

VERSION = "0.1.0"
