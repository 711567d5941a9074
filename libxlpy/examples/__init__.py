"""Programs that show how the API is meant; docs tell how each is run."""
