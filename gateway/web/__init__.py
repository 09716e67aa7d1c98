"""The HTTP face: a guard in front of Flask, views that read snapshots and put commands. Never touches a port."""
