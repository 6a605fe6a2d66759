"""Videos: which frames a player shows, which of them are chosen, and how they are decoded."""
