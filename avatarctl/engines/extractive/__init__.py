"""Answers taken word for word from the user's documents."""
