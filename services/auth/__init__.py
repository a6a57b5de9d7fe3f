"""Answers logins over HTTP and keeps the users that moved."""
