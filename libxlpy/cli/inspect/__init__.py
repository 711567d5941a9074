"""`xlpy inspect`: what is in a save file, as text, map and picture."""
