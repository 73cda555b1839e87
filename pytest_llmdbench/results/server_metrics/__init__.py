"""What servers count of themselves, over the time of a load: from Prometheus text to canonical numbers. Pure."""
