"""The walks: each module is one, read top to bottom: decode -> decide -> commit -> send."""
