"""Trials on a Dask cluster. Dask is imported only when a search uses one."""
