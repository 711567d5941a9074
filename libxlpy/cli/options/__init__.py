"""Every command and option of `xlpy`, by topic, and nothing of what they do."""
