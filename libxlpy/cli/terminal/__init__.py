"""What a command shows a person, and what it takes from the keyboard."""
