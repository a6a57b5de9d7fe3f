"""What the launcher puts around a script: kernel means only, no privilege, the standard library."""
