"""One helper process: spawned, talked to, made to leave."""
