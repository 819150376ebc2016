"""What this machine has, what each preset wants of it, and how the one is brought to the other."""
