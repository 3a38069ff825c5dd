"""Other people's formats of placement problems."""
