"""The gate at the end of the flow: what a finished film really shows and sounds like, in figures."""
