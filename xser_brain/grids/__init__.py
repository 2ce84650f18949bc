"""Many runs by one command, here or on a cluster."""
