"""Executes action scripts in recyclable Node processes, one result a request."""
