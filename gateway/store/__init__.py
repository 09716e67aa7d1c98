"""What was read and what was asked: the latest readings and the command journal. Imports nothing of its siblings."""
