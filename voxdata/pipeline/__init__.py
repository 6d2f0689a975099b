"""The stages put together: plain functions over a runner, without Prefect."""
