"""What commands say and do about recorded steps: `goque signal`, and the steps that `goque show` prints."""
