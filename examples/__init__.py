"""Examples: scripts that train networks and write cases."""
