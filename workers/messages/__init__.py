"""Messages from the queue: what is let through, and what goes back when a process is lost."""
