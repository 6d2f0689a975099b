"""Where things are put together: Prefect flows and the command line."""
