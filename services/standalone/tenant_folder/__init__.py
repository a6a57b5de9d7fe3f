"""Tenant folders: what `auth0-deploy-cli` keeps on disk, read, planned, applied and written (C§6).

`model` says what a folder may hold, `keywords` and `reading` turn files into it. `planning` compares
it with a server (`comparing`) and makes a `plan`, `rendering` shows that, `applying` does it over the
Management API (`management_api`, opened with `access`). `exporting` goes the other way. Nothing is
changed before everything was read, validated and planned.
"""
