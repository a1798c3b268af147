"""HTTP: the API for stations, health and metrics. `axis.web.wire` is the HTTP contract that stations share."""
