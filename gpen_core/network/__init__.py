"""The GPEN network: its configuration, layers and weights."""
