"""Grafana's dashboards, from code: `./dev docs` writes them where the chart takes them from."""
