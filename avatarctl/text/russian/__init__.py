"""Russian as it is written to Russian as it is said: each module turns one kind of shorthand into words."""
