"""`--report FILE.html`: one page that tells how a save or a migration went."""
