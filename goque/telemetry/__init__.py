"""What goque tells about its work: log lines and traces."""
